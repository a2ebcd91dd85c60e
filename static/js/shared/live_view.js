/**
 * @typedef {{at: string|null, offset: number, entries: Object<string, object>}} View
 *   `at` is where to resume, `offset` the server's clock minus ours in seconds.
 * @typedef {{at: string, now: number, state?: object, patch?: object}} Frame
 */

/** @type {View} */
export const EMPTY = Object.freeze({ at: null, offset: 0, entries: {} });

/**
 * Apply a frame to a view. After a heartbeat (no `state`, no `patch`) the entries stay the same object.
 * @param {View} view
 * @param {Frame} frame
 * @param {number} clock our own time in seconds
 * @returns {View}
 */
export function reduce(view, frame, clock) {
  return { at: frame.at, offset: frame.now - clock, entries: merge(view.entries, frame) };
}

function merge(entries, { state, patch }) {
  if (state) return state;
  if (!patch) return entries;
  const all = Object.entries({ ...entries, ...patch });
  return Object.fromEntries(all.filter(([, value]) => value !== null));
}
