import { loadMenu } from './menu.js';

const AGAIN_MS = 60_000;

/**
 * Load the menu, and again every minute: for pages that are open for days. If that fails, they keep what they have.
 * @returns {Promise<import('./menu.js').Drink[]>} as it is now
 */
export function pollMenu() {
  setInterval(loadMenu, AGAIN_MS);
  return loadMenu();
}
