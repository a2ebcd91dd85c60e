import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';
import { drinkName } from '../shared/menu.js';
import { USUAL_PRIORITY } from './actions.js';
import { addressOf } from './address.js';
import { OrderFinder } from './order_finder.js';
import { workerName } from './model.js';
import { progressInWords, reasonToWait } from './reasons.js';
import { Rows } from './rows.js';
import { elapsed } from './time.js';

const SHELVES = ['waiting', 'assigned', 'failed', 'finished'];
const ACTIONS_IN = { waiting: ['first', 'priority', 'cancel'], assigned: ['back', 'stop'], failed: ['back'] };
/** The most rows that are shown of a shelf: more would take long to draw. */
const ROOM = 100;

/** The orders, one shelf (state) at a time. */
export class OrdersTable {
  #operator;
  #shelf = 'waiting';
  #model;
  #rows;
  #finder;

  constructor(operator) {
    this.#operator = operator;
    this.#finder = new OrderFinder(() => this.show(this.#model), () => operator.unauthorized());
    this.#rows = new Rows($('orders'), (order) => this.#row(order), $('orders-title'));
    $('shelves').append(...SHELVES.map((shelf) => this.#choice(shelf)));
  }

  show(model) {
    this.#model = model;
    const isSearch = this.#isSearch;
    const orders = isSearch ? this.#finder.pick(model) : model.shelves[this.#shelf];
    const total = isSearch ? orders.length : Math.max(orders.length, model.bar[this.#shelf] ?? 0);
    this.#rows.show(orders.slice(0, ROOM).map((order) => [order.n, order]), [...model.twins, model.bar.priorities].join());
    this.#hideFirst(model.shelves.waiting[0]?.n);
    this.#showAheads(model);
    say($('orders-more'), total > ROOM ? t('moreOrders', total - ROOM) : '');
    SHELVES.forEach((shelf, i) => this.#renderChoice($('shelves').children[i], shelf));
  }

  // What is searched for is shown as it is now.
  get #isSearch() {
    return this.#finder.n !== null && !this.#operator.isIdle;
  }

  #choice(shelf) {
    const choose = () => { this.#shelf = shelf; this.#finder.clear(); };
    const count = el('span', { className: 'count' });
    return el('button', { type: 'button', className: 'button small', onclick: choose }, t(`shelf.${shelf}`), ' ', count);
  }

  #renderChoice(button, shelf) {
    const orders = this.#model.shelves[shelf];
    say(button.lastElementChild, String(Math.max(orders.length, this.#model.bar[shelf] ?? 0)));
    button.setAttribute('aria-pressed', shelf === this.#shelf && !this.#isSearch);
    button.dataset.alarm = shelf === 'failed' && orders.length > 0;
  }

  // The first order cannot be moved further to the front.
  #hideFirst(next) {
    for (const button of $('orders').querySelectorAll('[data-act=first]')) {
      const isNext = Number(button.closest('tr').dataset.n) === next;
      const hadFocus = isNext && button === document.activeElement;
      button.hidden = isNext;
      if (hadFocus) button.nextElementSibling.focus({ preventScroll: true });
    }
  }

  // Not in the rows' own drawing: these numbers change whenever an order leaves the line.
  #showAheads({ shelves: { waiting }, aheads }) {
    const aheadOf = new Map(aheads.map((ahead, turn) => [waiting[turn]?.n, ahead]));
    for (const note of $('orders').querySelectorAll('.ahead')) {
      const ahead = aheadOf.get(Number(note.closest('tr').dataset.n));
      say(note, ahead === undefined ? '' : t('ahead', ahead));
    }
  }

  #row(order) {
    const { n, name = '', state } = order;
    // An order that was put back has been waiting since it was submitted.
    const since = state === 'waiting' ? order.submitted : order.t;
    const number = el('th', { scope: 'row' }, el('a', { href: addressOf('order', { n }) }, `#${n}`));
    const row = el('tr', {}, number, drinkCell(order), el('td', { className: 'wide' }, name));
    row.append(el('td', {}, elapsed(since)), el('td', {}, ...this.#remarks(order)));
    row.append(el('td', { className: 'acts' }, ...this.#buttons(order)));
    Object.assign(row.dataset, { state, n });
    return row;
  }

  #remarks({ hold, attempt, position, priority, progress, cancelling, reason, state, why }) {
    const notes = [
      ['done', 'cancelled'].includes(state) && t(`shelf.${state}`),
      hold && state === 'assigned' && this.#nameOf(hold.worker),
      hold?.stage === 'in doubt' && state === 'assigned' && t('robotState.in doubt'),
      progressInWords(progress),
      cancelling && t('toStop'),
      reasonToWait(why),
      position && t('place', position),
      priority !== undefined && t('hasPriority', priority),
      attempt > 1 && t('attempts', attempt),
      isUnused(hold, state) ? t('unused') : reason,
      hold?.refused && t('reportRefused', hold.refused),
    ].filter(Boolean);
    const ahead = el('span', { className: 'ahead' });
    return [...(why?.reason === 'behind' ? [ahead, ' '] : []), ...notes.flatMap((note) => [el('span', {}, note), ' '])];
  }

  #nameOf(callback) {
    const { workers, twins } = this.#model;
    return workerName(callback, workers.get(callback)?.label, twins);
  }

  #buttons({ id, n, state, cancelling, priority = USUAL_PRIORITY }) {
    const possible = { priority: this.#model.bar.priorities, stop: !cancelling };
    const offered = (ACTIONS_IN[state] ?? []).filter((name) => possible[name] ?? true);
    return this.#operator.buttons(offered, { id, label: n, priority });
  }
}

const isUnused = (hold, state) => Boolean(hold?.unused) && state === 'assigned';

function drinkCell({ logo, drink }) {
  const picture = el('img', { src: logoImage(logo), alt: t(`logos.${logo}`), width: 28, height: 28 });
  return el('td', {}, el('span', { className: 'drink' }, picture, el('span', {}, drinkName(drink) || '–')));
}
