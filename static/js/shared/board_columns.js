const isOrder = ([key]) => key.startsWith('order/');
const byNumber = (a, b) => a.n - b.n;
// An order that was moved has another place than its number says.
const byPlace = (a, b) => (a.place ?? a.n) - (b.place ?? b.n);
const newestFirst = (a, b) => b.t - a.t;

/**
 * The board view's entries, sorted the way people read them.
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
