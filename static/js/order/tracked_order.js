import { Connection } from '../shared/connection.js';
import { t } from '../shared/i18n.js';
import { cancel } from './job_requests.js';
import { isOver } from './order_store.js';
import { Sender } from './sender.js';

/** Whether a robot has an order, or is to get it. @param {TrackedOrder} tracked */
export const isUnderWay = ({ phase }) => phase === 'waiting' || phase === 'assigned';

/**
 * Follows one order from sending it to the drink. `phase` is what to show: the state of the sender,
 * `loading`, the state of the order (`waiting`, `assigned`, `done`, `failed`, `cancelled`) or `gone`.
 */
export class TrackedOrder {
  /** @type {import('./order_store.js').Order} */
  order;
  #onChange;
  #sender = null;
  #connection = null;
  /** Why cancelling failed: the key of a text. */
  #obstacle = '';

  /**
   * @param {import('./order_store.js').Order} order
   * @param {(tracked: TrackedOrder) => void} onChange
   */
  constructor(order, onChange) {
    this.order = order;
    this.#onChange = () => onChange(this);
  }

  /** Send the order, or follow it if the bar has it. @returns {TrackedOrder} itself */
  start() {
    if (!this.order.id) this.#sender = new Sender(this.order, () => this.#tried()).start();
    else if (!isOver(this.order.state)) this.#listen();
    return this;
  }

  /** Stop sending and following the order. */
  stop() {
    this.#sender?.stop();
    this.#connection?.close();
  }

  get phase() {
    const { id, state } = this.order;
    if (!id) return this.#sender?.state ?? 'sending';
    return isOver(state) ? state : this.entry.state ?? 'loading';
  }

  /**
   * The order as the bar sees it, with `ahead`, `eta`, `why`, `doubt`, `progress`, `can_cancel`: as it was last heard,
   * also before the page was loaded.
   */
  get entry() {
    return this.#present ?? this.order.last?.entry ?? {};
  }

  /** When what is shown was heard, in ms, if that was before the page was loaded. */
  get heardBefore() {
    return this.#present ? undefined : this.order.last?.at;
  }

  get #present() {
    return this.#connection?.view.entries.order;
  }

  /** Whether the robot is asked to stop. */
  get isStopping() {
    return this.phase === 'assigned' && Boolean(this.order.isToStop);
  }

  /** The counts of the bar; undefined while nothing is known. */
  get bar() {
    return this.#connection?.view.entries.bar;
  }

  /** Why the order is not sent: a Problem or null; undefined for an order that was not sent from here. */
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

  /** The server's time in seconds: the phone's clock, corrected as it was when what is shown was heard. */
  get now() {
    const { offset = 0 } = (this.#present ? this.#connection.view : this.order.last) ?? {};
    return Date.now() / 1000 + offset;
  }

  /** Send an order that was unsent too long after all. */
  sendAnyway() {
    this.#sender.renew();
  }

  /** Follow the order, which another tab has sent. @param {string} id */
  sent(id) {
    this.#sender.sent(id);
  }

  /** Cancel the order, or have its robot asked to stop; `notice` says why if that fails. */
  async cancel() {
    this.#obstacle = '';
    try {
      if (await cancel(this.order.id)) this.#isCancelled();
      else this.#isAsked();
    } catch (problem) {
      this.#obstacle = problem.status === 409 ? 'tooLate' : 'tryAgain';
      this.#onChange();
    }
  }

  // The answer is proof enough: the live channel may be down.
  #isCancelled() {
    this.#connection?.close();
    this.order.state = 'cancelled';
    this.#onChange();
  }

  #isAsked() {
    this.order.isToStop = true;
    this.#onChange();
  }

  #tried() {
    if (this.order.id) this.#listen();
    this.#onChange();
  }

  #listen() {
    this.#connection = new Connection({ order: this.order.id }, () => this.#heard());
    this.#connection.open();
  }

  #heard() {
    if (this.#connection.status === 'refused') this.order.state = 'gone';
    else if (this.#present?.state) this.#learn(this.#present);
    if (this.#connection.status === 'live' && isOver(this.order.state)) this.#connection.close();
    this.#onChange();
  }

  #learn(entry) {
    const { n, name, logo, drink, state, cancelling = false } = entry;
    // It came back from its robot: now it is not too late.
    if (state === 'waiting' && this.order.state === 'assigned') this.#obstacle = '';
    const { status, view } = this.#connection;
    if (status === 'live') this.order.last = { at: Date.now(), offset: view.offset, entry };
    Object.assign(this.order, { n, state }, this.order.key ? {} : { name, logo, drink });
    // What became of it is told after it is over, also after a reload.
    if (!isOver(state)) this.order.isToStop = cancelling;
  }
}
