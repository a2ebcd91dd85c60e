import { el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { addressOf } from '../monitor/address.js';
import { isDull, isTrouble } from '../monitor/model.js';
import { dayOr, nameOfDay, spanOf } from './days.js';
import { joined, pageOfEvents } from './event_pages.js';
import { gaps, orderLink, panel, robotLink, table, timeElement } from './parts.js';

const questionOf = ({ find = '', day }) => ({ text: find, ...spanOf(dayOr(day)) });

/** Get a day's first events, or the first with a text in their reason or their robot's name. */
export const ask = (args) => pageOfEvents(questionOf(args));

/** Show events as rows, with links to their orders and robots, and a button for more. */
export function draw(page, args, context) {
  const day = nameOfDay(dayOr(args.day));
  return [panel(args.find ? t('history.found', args.find, day) : day, ...new Results(page, args, context).nodes)];
}

/** The events found so far. */
class Results {
  #question;
  #context;
  #day;
  #found = { events: [], damage: [], holes: [] };
  #next;
  #gaps = el('div');
  #count = el('p', { className: 'hint', role: 'status' });
  #robots = el('ul', { className: 'robots' });
  #table = table(['history.time', 'history.event', 'order', 'robot', 'remark'], []);
  #more = el('button', { className: 'button small', type: 'button', onclick: () => this.#addNext() }, t('history.more'));
  #wrong = el('p', { className: 'refused', role: 'alert' });

  constructor(page, args, context) {
    this.#question = questionOf(args);
    this.#day = dayOr(args.day);
    this.#context = context;
    this.#add(page);
  }

  get nodes() {
    return [this.#gaps, this.#count, this.#robots, this.#table, this.#more, this.#wrong];
  }

  async #addNext() {
    this.#more.disabled = true;
    say(this.#wrong, '');
    try {
      this.#add(await pageOfEvents({ ...this.#question, after: this.#next }));
    } catch ({ status }) {
      if (status === 401) this.#context.unauthorized();
      else say(this.#wrong, t('notLooked'));
    }
    this.#more.disabled = false;
  }

  #add(page) {
    const body = this.#table.querySelector('tbody');
    body.append(...page.events.filter((event) => !isDull(event)).map(row));
    this.#found = joined([this.#found, page]);
    this.#next = page.next;
    this.#gaps.replaceChildren(gaps(this.#found));
    this.#robots.replaceChildren(...this.#names().map((name) => this.#robot(name)));
    this.#more.hidden = page.next === null;
    say(this.#count, t(page.next === null ? 'history.count' : 'history.countSoFar', body.childElementCount));
  }

  #names() {
    return [...new Set(this.#found.events.map(({ worker }) => worker).filter(Boolean))].sort();
  }

  #robot(name) {
    const href = addressOf('robot', { name, day: this.#day });
    return el('li', {}, el('a', { className: 'button small', href }, t('history.dayOf', name)));
  }
}

function row(event) {
  const { kind, ticket, reason, t: at } = event;
  const node = el(
    'tr', {},
    el('td', {}, timeElement(at)), el('th', { scope: 'row' }, t(`kinds.${kind}`) || kind),
    el('td', {}, ticket ? orderLink(ticket) : ''), el('td', {}, robotLink(event)), el('td', {}, reason),
  );
  node.dataset.trouble = isTrouble(event);
  return node;
}
