import { loadMenu } from './menu.js';

const AGAIN_MS = 60_000;

/**
 * Load the menu, and again every minute: for pages that are open for days. If that fails, they keep what they have.
 * @param {(menu: import('./menu.js').Drink[]) => void} [show] called each time with the menu as it is now
 * @returns {Promise<void>} resolved after the first time
 */
export function pollMenu(show = () => {}) {
  const load = async () => show(await loadMenu());
  setInterval(load, AGAIN_MS);
  return load();
}
