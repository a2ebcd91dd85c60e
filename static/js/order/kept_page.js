/** The order page as it is kept for when the bar cannot be reached. For the service worker. */
import { isFromProxy } from '../shared/http.js';

/** The address of the order page. */
export const PAGE = new URL('order_drink.html', location);

/** What a page may not have loaded by then: itself without a query, the other language, pictures of what comes later. */
const OTHERS = [
  'order_drink.html', 'img/robot-sad.svg', 'img/drinks/drink.svg',
  'js/shared/words/de.js', 'js/shared/words/en.js', 'js/order/words/de.js', 'js/order/words/en.js',
].map((path) => new URL(path, location));

/** How long the network has before the kept page is shown. */
const PATIENCE_MS = 4_000;

// What belongs together is in one cache: its name says of which page, and since when.
const PREFIX = `page ${PAGE} `;
const names = async () => (await caches.keys()).filter((name) => name.startsWith(PREFIX)).sort();

/**
 * Keep the page with these files in place of what was kept, whole or not at all.
 * @param {string[]} loaded the addresses of what the page has just loaded: it is in the browser's own cache
 */
export async function keepPage(loaded) {
  // Later than any other, also where the clock was set back: the latest is shown, and the others go.
  const last = (await names()).at(-1)?.slice(PREFIX.length) ?? 0;
  const name = `${PREFIX}${Math.max(Date.now(), Number(last) + 1)}`;
  const cache = await caches.open(name);
  const others = OTHERS.filter((url) => !loaded.includes(url.href));
  try {
    await cache.addAll([...others, ...loaded.map((url) => new Request(url, { cache: 'force-cache' }))]);
  } catch {
    return caches.delete(name);
  }
  const older = (await names()).filter((other) => other < name);
  return Promise.all(older.map((other) => caches.delete(other)));
}

/** Find a file among those that are kept. @returns {Promise<Response|undefined>} */
export async function find(request) {
  for (const name of (await names()).reverse()) {
    const found = await caches.match(request, { cacheName: name, ignoreVary: true });
    if (found) return found;
  }
  return undefined;
}

/**
 * Load the page from the network or, if that fails or takes too long, take the one that is kept.
 * @param {FetchEvent} event of its navigation
 * @returns {Promise<{answer: Response, isKept: boolean}>}
 */
export async function load(event) {
  const fresh = Promise.resolve(event.preloadResponse).then((preloaded) => preloaded ?? fetch(event.request));
  const isFine = fresh.then((answer) => answer.status < 500 && !isFromProxy(answer), () => false);
  event.waitUntil(isFine);
  const kept = await Promise.race([isFine, after(PATIENCE_MS)]) ? null : await find(PAGE);
  return { answer: kept ?? await fresh, isKept: Boolean(kept) };
}

const after = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
