const isOrder = ([key]) => key.startsWith('order/');
const byNumber = (a, b) => a.n - b.n;
// An operator can move an order: its place then differs from its number.
const byPlace = (a, b) => (a.place ?? a.n) - (b.place ?? b.n);
const newestFirst = (a, b) => b.t - a.t;

/**
 * Sort the entries of the board view into the columns in which they are shown.
 * @param {Object<string, object>} entries
 */
export function columns(entries) {
  const orders = Object.entries(entries).filter(isOrder).map(([, order]) => order);
  const inState = (wanted) => orders.filter(({ state }) => state === wanted);
  return {
    ready: inState('done').sort(newestFirst),
    mixing: inState('assigned').sort(byNumber),
    next: inState('waiting').sort(byPlace),
    bar: entries.bar ?? {},
  };
}
