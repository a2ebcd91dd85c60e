import { $, el, say } from '../shared/dom.js';
import { Problem } from '../shared/http.js';
import { lang, learn, t } from '../shared/i18n.js';
import { addressOf, currentAddress } from '../monitor/address.js';
import { loadStyle } from '../monitor/load_style.js';
import { askService } from '../monitor/questions.js';
import { toast } from '../monitor/toast.js';
import { isoOf, Player } from './player.js';

const SPEEDS = [1, 10, 60];
const MINUTE_S = 60;
/** How near to the present playing ends. */
const NEAR_S = 1;
const UNAUTHORIZED = 4401;

const moments = new Intl.DateTimeFormat(lang, { dateStyle: 'full', timeStyle: 'medium', hourCycle: 'h23' });

/** Load the texts and the style of the rewound monitor. @param {object} context that of the monitor */
export async function openRewind(context) {
  await Promise.all([learn('rewind/words'), loadStyle('css/rewind.css')]);
  return new Rewind(context);
}

/** Shows the monitor as it was: a slider over the kept history, and playing from there. */
class Rewind {
  /** Whether the past is shown. */
  isShown = false;
  #context;
  #begin = null;
  #wanted = null;
  #refused = 0;
  /** Settles when the moment that is asked for is shown; null while none is asked for. */
  #looking = null;
  #isPlaying = false;
  #player = this.#newPlayer();
  #mark = el('h2', { id: 'rewind-title', tabIndex: -1 });
  #status = el('p', { className: 'hint', role: 'status' });
  #wrong = el('p', { className: 'refused', role: 'alert' });
  #slider = el('input', { type: 'range', step: 1, disabled: true, oninput: () => this.#slide() });
  #exact = el('input', { type: 'datetime-local', step: 1, required: true, oninput: () => this.#stop() });
  #play = el('button', { type: 'button', className: 'button small', onclick: () => this.#toggle() });
  #speed = el('select', { onchange: () => { if (this.#isPlaying) this.#start(); } });
  #controls = el('fieldset', { className: 'controls', disabled: true });
  #node;

  /** @param {{changed: () => void, unauthorized: () => void, liveNow: () => number}} context */
  constructor(context) {
    this.#context = context;
    this.#slider.setAttribute('aria-label', t('rewind.slider'));
    this.#exact.setAttribute('aria-label', t('rewind.exact'));
    this.#speed.setAttribute('aria-label', t('rewind.speed'));
    this.#speed.append(...SPEEDS.map((n) => el('option', { value: n }, t('rewind.times', n))));
    const form = el(
      'form', { className: 'exact', onsubmit: (event) => this.#choose(event) }, this.#exact, el('button', { className: 'button small' }, t('rewind.go')),
    );
    const step = (name, by) => {
      const node = button(t(`rewind.${name}`), () => this.#want(this.#kept(this.#moment + by)));
      node.dataset.repeats = true;
      return node;
    };
    this.#controls.append(
      step('back', -MINUTE_S), this.#play, this.#speed, step('on', MINUTE_S), form,
      button(t('rewind.share'), () => this.#share()),
      el('a', { className: 'button small live', href: addressOf('now') }, t('rewind.live')),
    );
    const said = el('div', {}, this.#status, this.#wrong);
    this.#node = el('section', { id: 'rewind', className: 'panel rewind' }, this.#mark, this.#slider, this.#controls, said);
    this.#node.setAttribute('aria-labelledby', this.#mark.id);
    addEventListener('keydown', (event) => this.#key(event));
    this.#renderPlay();
  }

  /** What the monitor showed at the moment. */
  get view() {
    return this.#player.view;
  }

  /** The moment that is shown, in Unix seconds. */
  get now() {
    return this.#player.now;
  }

  /** Show the moment of the address; without one, the present minus a minute. */
  async show() {
    if (!this.isShown) {
      this.isShown = true;
      $('monitor').before(this.#node);
      document.body.dataset.past = true;
      this.#mark.textContent = t('rewind.title');
      this.#context.changed();
      await this.#findBegin();
      if (!this.isShown) return;
      this.#mark.focus({ preventScroll: true });
    }
    if (this.#begin === null) return;
    this.#slider.disabled = this.#controls.disabled = false;
    this.#showRange();
    const { at } = currentAddress().args; // it may be another one by now
    // In the query of an address the plus sign of a zone is a blank.
    const asked = Date.parse(at?.replace(/ (?=[\d:]+$)/, '+')) / 1000;
    if (at && Number.isNaN(asked)) return say(this.#wrong, t('rewind.noTime', at));
    if (asked && isoOf(asked) === isoOf(this.now) && this.view.at) return;
    this.#want(asked || Math.max(this.#begin + NEAR_S, this.#context.liveNow() - MINUTE_S));
  }

  /** Leave the past. */
  hide() {
    if (!this.isShown) return;
    this.isShown = false;
    this.#wanted = null;
    this.#stop();
    this.#player = this.#newPlayer();
    this.#node.remove();
    delete document.body.dataset.past;
    $('title').focus({ preventScroll: true });
    this.#context.changed();
  }

  // What is answered after the past was left is not shown, not even if it was entered again.
  #newPlayer() {
    const player = new Player(
      () => { if (player === this.#player) this.#heard(); },
      (code) => { if (player === this.#player) this.#ended(code); },
    );
    return player;
  }

  /** The moment that is shown, or is asked for, or could not be shown. */
  get #moment() {
    return this.#wanted ?? (this.now || this.#refused);
  }

  /** A moment, or the nearest one that is kept. */
  #kept(moment) {
    return Math.max(this.#begin, Math.min(moment, Math.floor(this.#context.liveNow())));
  }

  async #findBegin() {
    say(this.#status, t('rewind.asking'));
    try {
      const { events: [first] } = await askService('events', { limit: 1 });
      this.#begin = first ? Math.floor(Date.parse(first.at) / 1000) + 1 : null;
      say(this.#status, first ? '' : t('rewind.nothing'));
    } catch (problem) {
      say(this.#status, '');
      this.#fail(problem);
    }
  }

  #slide() {
    this.#describe(Number(this.#slider.value));
    this.#want(Number(this.#slider.value));
  }

  #choose(event) {
    event.preventDefault();
    this.#want(new Date(this.#exact.value).getTime() / 1000);
  }

  /** Look at a moment; while another one is asked for, only the last wish counts. */
  #want(moment) {
    this.#stop();
    this.#wanted = moment;
    this.#looking ??= this.#look().finally(() => { this.#looking = null; });
  }

  async #look() {
    say(this.#wrong, '');
    const waiting = setTimeout(() => say(this.#status, t('rewind.asking')), 500);
    while (this.#wanted !== null && this.isShown) {
      const asked = this.#wanted;
      const player = this.#player;
      const problem = await player.look(asked).then(() => null, (reason) => reason);
      if (player !== this.#player) continue; // the past was left meanwhile
      if (problem) {
        this.#refused = asked;
        this.#stop();
        this.#fail(problem);
      }
      if (this.#wanted === asked) this.#wanted = null;
    }
    clearTimeout(waiting);
    say(this.#status, '');
  }

  #fail(problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) this.#context.unauthorized();
    else say(this.#wrong, problem.status ? t('rewind.refused', problem.message) : t('notLooked'));
  }

  #toggle() {
    if (this.#isPlaying) this.#stop();
    else this.#start();
  }

  /** Play from the moment that is shown, or will be in a moment. */
  async #start() {
    this.#isPlaying = true;
    this.#renderPlay();
    await this.#looking;
    if (!this.#isPlaying) return;
    if (!this.view.at) return this.#stop();
    say(this.#wrong, '');
    this.#player.play(Number(this.#speed.value));
  }

  #stop() {
    this.#isPlaying = false;
    this.#player.stop();
    this.#renderPlay();
  }

  #heard() {
    // Whoever is just leaving is not held by an address of this view.
    if (!this.isShown || currentAddress().view !== 'rewind') return;
    if (this.#isPlaying && this.now >= this.#context.liveNow() - NEAR_S) {
      toast(t('rewind.reached'));
      location.hash = addressOf('now');
      return;
    }
    this.#address();
    this.#describe(this.#wanted ?? this.now); // the slider stays where it was moved to meanwhile
    this.#context.changed();
  }

  // The address of the second that is shown, so that it can be shared; not one for each in the history.
  #address() {
    try {
      history.replaceState(null, '', addressOf('rewind', { at: isoOf(this.now) }));
    } catch { /* Safari takes no more than 100 in some seconds: the next one is right again */ }
  }

  #describe(moment) {
    const text = moments.format(moment * 1000);
    say(this.#mark, t('rewind.shows', text));
    this.#showRange();
    this.#slider.value = Math.floor(moment);
    this.#slider.setAttribute('aria-valuetext', text);
    if (document.activeElement !== this.#exact) this.#exact.value = localOf(moment);
  }

  #showRange() {
    this.#slider.min = this.#begin;
    this.#slider.max = Math.floor(this.#context.liveNow());
  }

  // A hole of the history ends the playback: asking for the next second says from when to when it is.
  #ended(code) {
    this.#stop();
    if (code === UNAUTHORIZED) this.#context.unauthorized();
    else if (code >= 4400 && code < 4500) this.#want(this.now + NEAR_S);
    else say(this.#wrong, t('rewind.lost'));
  }

  async #share() {
    try {
      await navigator.clipboard.writeText(location.href);
      toast(t('rewind.shared'));
    } catch {
      $('json').value = location.href;
      $('copied').showModal();
      $('json').select();
    }
  }

  // Escape also closes dialogs: that is not meant to leave the past.
  #key({ key, defaultPrevented }) {
    if (key !== 'Escape' || !this.isShown || defaultPrevented || document.querySelector('dialog[open]')) return;
    location.hash = addressOf('now');
  }

  #renderPlay() {
    say(this.#play, t(this.#isPlaying ? 'rewind.stop' : 'rewind.play'));
  }
}

const button = (text, onclick) => el('button', { type: 'button', className: 'button small', onclick }, text);

/** Format Unix seconds as a field for a local time has them. */
function localOf(moment) {
  const date = new Date(moment * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
