const placeOf = ({ place, n }) => place ?? n;

/**
 * Sort waiting orders in line: as the server lists them, and by their places where it need not.
 * @param {{n: number, place?: number}[]} orders
 * @param {{tickets: number[]}} [line] the entry `line` of the view
 */
export function inLine(orders, line) {
  const turns = new Map(line?.tickets.map((n, turn) => [n, turn]));
  const turnOf = ({ n }) => turns.get(n) ?? turns.size;
  return [...orders].sort((a, b) => turnOf(a) - turnOf(b) || placeOf(a) - placeOf(b));
}
