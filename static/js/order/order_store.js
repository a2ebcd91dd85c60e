import { keep, recall } from '../shared/storage.js';

const KEY = 'orders';
const KEPT_MS = 12 * 3600_000;
const OVER_KEPT_MS = 30 * 60_000;

/**
 * @typedef {object} Order an order of this phone
 * @property {string} key its idempotency key
 * @property {string} drink
 * @property {string} name
 * @property {string} logo
 * @property {number} asked when it was last asked for, in ms
 * @property {string} [id] once the bar has it
 * @property {number} [n] its ticket number
 * @property {string} [state] last known
 * @property {{at: number, offset: number, entry: object}} [last] what was last heard of it, and when, in ms
 */

/** Whether nothing more will happen to an order. */
export const isOver = (state) => state === 'done' || state === 'cancelled' || state === 'gone';

/**
 * Read the orders of this phone. Not cached, since another tab may have saved one.
 * @returns {Order[]} oldest first, without those that are too old to show
 */
export function allOrders(now = Date.now()) {
  return recall(KEY, []).filter((order) => now < keptUntil(order));
}

const keptUntil = ({ state, asked, last }) => (isOver(state) ? (last?.at ?? asked) + OVER_KEPT_MS : asked + KEPT_MS);

/**
 * Save an order, in place of an earlier version of it.
 * @param {Order} order
 */
export function saveOrder(order) {
  const orders = allOrders();
  const at = orders.findIndex(({ key }) => key === order.key);
  orders.splice(at < 0 ? orders.length : at, 1, order);
  keep(KEY, orders);
}

/**
 * Forget an order; an unknown one is ignored.
 * @param {Order} order
 */
export function forgetOrder(order) {
  keep(KEY, allOrders().filter(({ key }) => key !== order.key));
}

/** A new idempotency key: a UUID. `crypto.randomUUID` needs https, which a bar may not have. */
export function newKey() {
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0'));
  hex[6] = `4${hex[6][1]}`;
  hex[8] = `a${hex[8][1]}`;
  return hex.join('').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
