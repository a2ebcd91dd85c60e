// A number that jumps back and forth is worse than one that is slightly old.
const settle = (shown, minutes) => (Math.abs(minutes - shown) < 1 ? shown : Math.round(minutes));

/**
 * The waiting time to show, in whole minutes. It changes only once the estimate is off by a minute.
 * @param {[number, number]|null} eta unix seconds
 * @param {number} now unix seconds
 * @param {{lowMin: number, highMin: number}|null} shown what is shown now
 * @returns {{lowMin: number, highMin: number, late: boolean}|null}
 */
export function waitingTime(eta, now, shown) {
  if (!eta) return null;
  const [low, high] = eta.map((end, i) => settle([shown?.lowMin, shown?.highMin][i] ?? Infinity, (end - now) / 60));
  const highMin = Math.max(1, high);
  return { lowMin: Math.min(Math.max(1, low), highMin), highMin, late: now > eta[1] };
}
