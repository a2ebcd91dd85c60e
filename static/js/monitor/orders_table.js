import { $, el, say } from '../dom.js';
import { t } from '../i18n.js';
import { logoImage } from '../logos.js';
import { drinkName } from '../menu.js';
import { workerName } from './model.js';
import { Rows } from './rows.js';
import { elapsed } from './time.js';

const SHELVES = ['waiting', 'assigned', 'failed', 'finished'];
const ACTS = { waiting: ['first', 'cancel'], assigned: ['back'], failed: ['back'] };
/** Rows on a shelf; nobody reads more, and each costs. */
const ROOM = 100;

/** The orders, one shelf of them at a time. */
export class OrdersTable {
  #operator;
  #shelf = 'waiting';
  #model;
  #rows;

  constructor(operator) {
    this.#operator = operator;
    this.#rows = new Rows($('orders'), (order) => this.#row(order), $('orders-title'));
    $('shelves').append(...SHELVES.map((shelf) => this.#choice(shelf)));
  }

  show(model) {
    this.#model = model;
    const orders = model.shelves[this.#shelf];
    const total = Math.max(orders.length, model.bar[this.#shelf] ?? 0);
    this.#rows.show(orders.slice(0, ROOM).map((order) => [order.n, order]));
    say($('orders-more'), total > ROOM ? t('more', total - ROOM) : '');
    SHELVES.forEach((shelf, i) => this.#renderChoice($('shelves').children[i], shelf));
  }

  #choice(shelf) {
    const choose = () => { this.#shelf = shelf; this.show(this.#model); };
    const count = el('span', { className: 'count' });
    return el('button', { type: 'button', className: 'button small', onclick: choose }, t(`shelf.${shelf}`), ' ', count);
  }

  #renderChoice(button, shelf) {
    const orders = this.#model.shelves[shelf];
    say(button.lastElementChild, String(Math.max(orders.length, this.#model.bar[shelf] ?? 0)));
    button.setAttribute('aria-pressed', shelf === this.#shelf);
    button.dataset.alarm = shelf === 'failed' && orders.length > 0;
  }

  #row(order) {
    const { n, name = '', state, t: since } = order;
    const row = el('tr', {}, el('th', { scope: 'row' }, `#${n}`), drinkCell(order), el('td', { className: 'wide' }, name));
    row.append(el('td', {}, elapsed(since)), el('td', {}, ...this.#remarks(order)));
    row.append(el('td', { className: 'acts' }, ...this.#buttons(order)));
    row.dataset.state = state;
    return row;
  }

  #remarks({ hold, attempt, reason, state }) {
    const notes = [
      ['done', 'cancelled'].includes(state) && t(`shelf.${state}`),
      hold && state === 'assigned' && workerName(hold.worker, this.#model.workers.get(hold.worker)?.label),
      hold?.stage === 'in doubt' && state === 'assigned' && t('robotState.in doubt'),
      attempt > 1 && t('attempts', attempt),
      reason,
    ].filter(Boolean);
    return notes.flatMap((note) => [el('span', {}, note), ' ']);
  }

  #buttons({ id, n, state }) {
    return (ACTS[state] ?? []).map((name) => this.#operator.button(name, { id, label: n }));
  }
}

function drinkCell({ logo, drink }) {
  const picture = el('img', { src: logoImage(logo), alt: t(`logos.${logo}`), width: 28, height: 28 });
  return el('td', {}, el('span', { className: 'drink' }, picture, el('span', {}, drinkName(drink) || '–')));
}
