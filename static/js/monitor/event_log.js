import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { isDull, isTrouble, workerName } from './model.js';
import { Rows } from './rows.js';
import { timeOfDay } from './time.js';

/** What happened, newest first. It can be filtered, and paused for reading. */
export class EventLog {
  #model = { log: [], twins: new Set() };
  /** The events at the moment of pausing, or null. */
  #held = null;
  #isPast = false;
  #rows = new Rows($('events'), (event) => this.#row(event), $('log-title'));

  constructor() {
    $('filter').placeholder = t('filter');
    $('filter').oninput = $('about').onchange = () => this.#render();
    $('log-form').onsubmit = (event) => event.preventDefault();
    $('hold').onclick = () => { this.#held = this.#held ? null : this.#model.log; this.#render(); };
  }

  /**
   * @param {object} model that of the monitor
   * @param {boolean} isPast whether it is of an earlier moment: what is paused in the present is not shown then
   */
  show(model, isPast) {
    if (isPast !== this.#isPast) this.#held = null;
    this.#isPast = isPast;
    this.#model = model;
    this.#render();
  }

  #render() {
    const events = (this.#held ?? this.#model.log).filter((event) => this.#isWanted(event));
    this.#rows.show(events.map((event) => [event.n, event]), [...this.#model.twins].join());
    $('hold').setAttribute('aria-pressed', Boolean(this.#held));
    say($('hold'), this.#held ? t('goOn', this.#unread()) : t('hold'));
  }

  #unread() {
    const last = this.#held[0]?.n ?? 0;
    return this.#model.log.filter(({ n }) => n > last).length;
  }

  #isWanted(event) {
    const about = $('about').value;
    const isAbout = about === 'trouble' ? isTrouble(event) : event.kind.startsWith(about);
    const isHidden = isDull(event) && about !== 'worker';
    return isAbout && !isHidden && this.#text(event).toLowerCase().includes($('filter').value.trim().toLowerCase());
  }

  #text(event) {
    return [event.kind, ...this.#words(event)].join(' ');
  }

  #words({ kind, ticket, worker, label, reason = '' }) {
    const name = worker ? workerName(worker, label, this.#model.twins) : '';
    return [t(`kinds.${kind}`), ticket ? `#${ticket}` : '', name, reason];
  }

  #row(event) {
    const [what, number, name, reason] = this.#words(event);
    const head = el('p', {}, el('time', {}, timeOfDay(event.t)), el('b', {}, what), el('span', {}, number));
    const row = el('li', {}, head);
    const rest = [name, reason].filter(Boolean).join(' · ');
    if (rest) row.append(el('p', { className: 'hint' }, rest));
    row.dataset.trouble = isTrouble(event);
    return row;
  }
}
