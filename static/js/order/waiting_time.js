// A number that jumps back and forth is worse than one that is slightly old.
const settle = (shown, minutes) => (Math.abs(minutes - shown) < 1 ? shown : Math.round(minutes));

/**
 * The waiting time to show, in whole minutes. It changes only once the estimate is off by a minute.
 * @param {[number, number]|null} eta unix seconds
 * @param {number} now unix seconds
 * @param {{low: number, high: number}|null} shown what is shown now
 * @returns {{low: number, high: number, late: boolean}|null}
 */
export function waitingTime(eta, now, shown) {
  if (!eta) return null;
  const [low, high] = eta.map((end, i) => settle([shown?.low, shown?.high][i] ?? Infinity, (end - now) / 60));
  const most = Math.max(1, high);
  return { low: Math.min(Math.max(1, low), most), high: most, late: now > eta[1] };
}
