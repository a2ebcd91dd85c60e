import { Connection } from '../shared/connection.js';
import { t } from '../shared/i18n.js';
import * as api from './api.js';
import { isOver } from './order_store.js';
import { Sender } from './sender.js';

/**
 * Follows one order from sending it to the drink. `phase` is what to show: the state of the sender,
 * `loading`, the state of the order (`waiting`, `assigned`, `done`, `failed`, `cancelled`) or `gone`.
 */
export class TrackedOrder {
  /** @type {import('./order_store.js').Order} */
  order;
  #changed;
  #sender = null;
  #connection = null;
  /** Why cancelling failed: the key of a text. */
  #obstacle = '';

  /**
   * @param {import('./order_store.js').Order} order
   * @param {(tracked: TrackedOrder) => void} changed
   */
  constructor(order, changed) {
    this.order = order;
    this.#changed = () => changed(this);
  }

  start() {
    if (!this.order.id) this.#sender = new Sender(this.order, () => this.#sent()).start();
    else if (!isOver(this.order.state)) this.#listen();
    return this;
  }

  stop() {
    this.#sender?.stop();
    this.#connection?.close();
  }

  get phase() {
    const { id, state } = this.order;
    if (!id) return this.#sender?.state ?? 'sending';
    return isOver(state) ? state : this.entry.state ?? 'loading';
  }

  /** The order as the bar sees it, with `ahead`, `eta`, `doubt`, `reason`. */
  get entry() {
    return this.#connection?.view.entries.order ?? {};
  }

  get bar() {
    return this.#connection?.view.entries.bar;
  }

  get problem() {
    return this.#sender?.problem;
  }

  /** Why cancelling failed. Once a robot has the order, trying again makes no sense. */
  get notice() {
    return this.#obstacle === 'tryAgain' && this.phase !== 'waiting' ? '' : t(this.#obstacle);
  }

  /** Whether what is shown may be out of date. */
  get stale() {
    return this.#connection?.status === 'stale';
  }

  get now() {
    return this.#connection?.now ?? Date.now() / 1000;
  }

  sendAnyway() {
    this.#sender.renew();
  }

  async cancel() {
    this.#obstacle = '';
    try {
      await api.cancel(this.order.id);
      this.#isCancelled();
    } catch (problem) {
      this.#obstacle = problem.status === 409 ? 'tooLate' : 'tryAgain';
      this.#changed();
    }
  }

  // The answer is proof enough: the live channel may be down.
  #isCancelled() {
    this.#connection?.close();
    this.order.state = 'cancelled';
    this.#changed();
  }

  #sent() {
    if (this.order.id) this.#listen();
    this.#changed();
  }

  #listen() {
    this.#connection = new Connection({ order: this.order.id }, () => this.#heard());
    this.#connection.open();
  }

  #heard() {
    if (this.#connection.status === 'refused') this.order.state = 'gone';
    else if (this.entry.state) this.#learn(this.entry);
    if (this.#connection.status === 'live' && isOver(this.order.state)) this.#connection.close();
    this.#changed();
  }

  #learn({ n, name, logo, drink, state }) {
    Object.assign(this.order, { n, state }, this.order.key ? {} : { name, logo, drink });
  }
}
