import { Connection } from '../shared/connection.js';
import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { tokenOf } from '../shared/token.js';
import { loadStyle } from '../monitor/load_style.js';
import { read } from '../monitor/model.js';
import { numbersOf, renderTiles, time } from '../monitor/tiles.js';
import { linkTo } from '../monitor/topics.js';

const TICK_MS = 1_000;
const UNKNOWN = { waiting: [], longest: [], idle: [], busy: [] };

/** Load the style of the overview. @param {import('../monitor/topics.js').Topics} topics */
export async function openOverview(topics) {
  await loadStyle('css/overview.css');
  return new Overview(topics);
}

/** Follows all topics while it is shown, each over a connection of its own. */
class Overview {
  #topics;
  #cards = [];
  #timer;
  #isDue = false;

  constructor(topics) {
    this.#topics = topics;
  }

  show() {
    this.leave();
    this.#cards = this.#topics.all.map((topic) => new Card(topic, () => this.#changed()));
    this.#timer = setInterval(() => this.#render(), TICK_MS);
    $('overview').replaceChildren(el('ul', { className: 'bars' }, ...this.#cards.map(({ node }) => node)));
    this.#render();
  }

  leave() {
    clearInterval(this.#timer);
    for (const card of this.#cards) card.close();
    this.#cards = [];
  }

  // Draw at most once per animation frame, and not at all while the page is hidden.
  #changed() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => { this.#isDue = false; this.#render(); });
  }

  #render() {
    for (const card of this.#cards) card.render();
  }
}

/** What an operator has to know of a topic at a glance, and the link to its monitor. */
class Card {
  #connection;
  #badge = el('p', { className: 'badge', role: 'status' });
  #numbers = el('dl', { className: 'tiles' });

  constructor(topic, changed) {
    const query = { view: 'monitor', token: tokenOf('operator-token') };
    this.node = el('li', { className: 'panel' }, el('h2', {}, linkTo(topic)), this.#badge, this.#numbers);
    this.#connection = new Connection(query, changed, topic.base).open();
  }

  close() {
    this.#connection.close();
  }

  render() {
    const { status, view, now } = this.#connection;
    const isPaused = status === 'live' && view.entries.bar.paused;
    this.node.dataset.status = this.#badge.dataset.status = isPaused ? 'paused' : status;
    this.#badge.hidden = status === 'live' && !isPaused;
    say(this.#badge, t(isPaused ? 'paused' : `badge.${status}`));
    renderTiles(this.#numbers, view.at ? numbersAt(now, read(view.entries)) : UNKNOWN);
  }
}

function numbersAt(now, model) {
  const { waiting, idle, busy, assigned: [, inDoubt] } = numbersOf(model);
  const since = model.shelves.waiting.map(({ submitted }) => submitted).sort((a, b) => a - b)[0];
  return { waiting, longest: [time(since && now - since)], idle, busy: [...busy, inDoubt] };
}
