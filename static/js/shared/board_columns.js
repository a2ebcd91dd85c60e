import { inLine } from './line.js';

// The fields of an order are those of live/serializers.py: `n` is its number, `t` since when it is in its
// state (unix seconds).
const isOrder = ([key]) => key.startsWith('order/');
const byNumber = (a, b) => a.n - b.n;
const newestFirst = (a, b) => b.t - a.t;

/**
 * Sort the entries of the board view into the columns in which they are shown.
 * @param {Object<string, object>} entries
 * @returns {{ready: object[], mixing: object[], next: object[], bar: object}} orders that are done
 *   (newest first), assigned, waiting (in line), and the counts
 */
export function columns(entries) {
  const orders = Object.entries(entries).filter(isOrder).map(([, order]) => order);
  const inState = (wanted) => orders.filter(({ state }) => state === wanted);
  return {
    ready: inState('done').sort(newestFirst),
    // By number: a tile must not move when another one is done.
    mixing: inState('assigned').sort(byNumber),
    next: inLine(inState('waiting'), entries.line),
    bar: entries.bar ?? {},
  };
}
