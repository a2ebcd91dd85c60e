import { delay } from '../shared/connection.js';
import { cancel, submit } from './job_requests.js';

const UNSENT_TOO_LONG_MS = 120_000;

/**
 * Sends one order, and retries until the bar has it. `state` is `sending`, `unsent` (will retry),
 * `unsentTooLong` (two minutes old: the customer has to confirm it), `rejected` or `sent`.
 */
export class Sender {
  state = 'sending';
  /** @type {import('../shared/http.js').Problem|null} why it is not sent */
  problem = null;
  #order;
  #onChange;
  #tries = 0;
  #timer;
  #busy = false;
  #stopped = false;
  #online = () => this.#attempt();

  /**
   * @param {import('./order_store.js').Order} order
   * @param {(sender: Sender) => void} onChange
   */
  constructor(order, onChange) {
    this.#order = order;
    this.#onChange = onChange;
  }

  /** Send now, and again whenever the network comes back. @returns {Sender} itself */
  start() {
    addEventListener('online', this.#online);
    this.#attempt();
    return this;
  }

  /** Stop retrying; an order that is being sent is cancelled once its answer comes. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    removeEventListener('online', this.#online);
  }

  /** Send an order that was unsent too long after all. */
  renew() {
    this.#order.asked = Date.now();
    this.#tries = 0;
    this.#report('sending');
    this.#attempt();
  }

  /** Stop: the bar has the order, from here or from another tab. @param {string} id the job's secret id */
  sent(id) {
    if (this.state === 'sent') return undefined; // from both
    // It was discarded while being sent.
    if (this.#stopped) return cancel(id).catch(() => {});
    this.#order.id = id;
    this.#report('sent');
    return this.stop();
  }

  async #attempt() {
    clearTimeout(this.#timer);
    if (this.#busy) return;
    if (Date.now() - this.#order.asked > UNSENT_TOO_LONG_MS) return this.#report('unsentTooLong');
    this.#busy = true;
    await submit(this.#order).then((id) => this.sent(id), (problem) => this.#failed(problem));
    this.#busy = false;
  }

  #failed(problem) {
    if (this.#stopped) return;
    this.problem = problem;
    this.#report(problem.isTemporary ? 'unsent' : 'rejected');
    if (!problem.isTemporary) return this.stop();
    const waitMs = Math.max(delay(this.#tries++), problem.retryAfterS * 1000);
    this.#timer = setTimeout(() => this.#attempt(), waitMs);
  }

  #report(state) {
    this.state = state;
    this.#onChange(this);
  }
}
