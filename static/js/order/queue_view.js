import { columns } from '../shared/board_columns.js';
import { Connection } from '../shared/connection.js';
import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';
import { drinkName } from '../shared/menu.js';

/** The queue below an order. It follows the board only while it is open. */
export class QueueView {
  #board = null;
  #own;

  constructor() {
    $('queue').ontoggle = () => this.#toggle();
  }

  /**
   * @param {boolean} wanted
   * @param {import('./tracked_order.js').TrackedOrder|null} tracked whose order to mark
   */
  show(wanted, tracked) {
    $('queue').hidden = !wanted;
    if (!wanted) $('queue').open = false;
    const own = tracked?.order.n;
    const isOther = own !== this.#own;
    this.#own = own;
    if (isOther && this.#board) this.#render(this.#board);
    // The list is newer: an order is told of others only now and then.
    if (!this.#board?.view.at) say($('queue-count'), tracked?.bar?.waiting ?? '');
  }

  #toggle() {
    this.#board?.close();
    this.#board = $('queue').open ? new Connection({ view: 'board' }, (board) => this.#render(board)).open() : null;
  }

  #render({ view, status }) {
    $('queue').dataset.stale = status === 'stale';
    if (!view.at) return;
    const { mixing, next, bar } = columns(view.entries);
    const orders = [...mixing, ...next];
    say($('queue-count'), bar.waiting ?? '');
    const more = (bar.waiting ?? 0) - next.length;
    $('queue-list').replaceChildren(...orders.map((order) => this.#row(order)));
    say($('queue-more'), more > 0 ? t('more', more) : orders.length ? '' : t('nobody'));
  }

  #row({ n, logo, drink, state }) {
    const picture = el('img', { src: logoImage(logo), alt: t(`logos.${logo}`), width: 32, height: 32 });
    const word = el('small', {}, t(state === 'assigned' ? 'mixing' : 'waiting'));
    const row = el('li', {}, picture, el('b', {}, n), el('span', {}, drinkName(drink)), word);
    row.dataset.phase = state;
    if (n === this.#own) row.setAttribute('aria-current', 'true');
    return row;
  }
}
