/** The views of the monitor have addresses that can be shared: `#order?n=42`. */

/**
 * The address of a view.
 * @param {string} view
 * @param {Object<string, string|number>} [args] empty ones are left out
 */
export function addressOf(view, args = {}) {
  const query = String(new URLSearchParams(Object.entries(args).filter(([, value]) => value !== '')));
  return query ? `#${view}?${query}` : `#${view}`;
}

/**
 * Read the address of the view that is shown.
 * @returns {{view: string, args: Object<string, string>}} the view may be one that does not exist
 */
export function currentAddress() {
  const [view, query] = location.hash.slice(1).split('?');
  return { view, args: Object.fromEntries(new URLSearchParams(query)) };
}
