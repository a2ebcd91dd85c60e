/** The page as an app: installed, and shown where the bar cannot be reached. */
import { el } from '../shared/dom.js';
import { lang } from '../shared/i18n.js';
import { serviceUrl } from '../shared/service_url.js';

/**
 * Start the service worker, and let the page be installed.
 * @returns {Promise<ServiceWorkerRegistration|null>} null where there can be none: without HTTPS, in private windows
 */
export async function startApp() {
  if (!navigator.serviceWorker) return null;
  linkManifest();
  try {
    await navigator.serviceWorker.register('service_worker.js', { type: 'module', scope: 'order_drink.html' });
  } catch {
    return null;
  }
  const registration = await navigator.serviceWorker.ready;
  keepPage(registration);
  return registration;
}

// Nobody waits for it: a picture may be long in coming.
async function keepPage(registration) {
  const keep = await loaded();
  if (keep.length) registration.active.postMessage({ keep }); // none where the browser does not tell
}

function linkManifest() {
  const query = new URLSearchParams({ lang });
  // On iOS an app on the home screen knows nothing of what the browser keeps: let it start with the order shown.
  if ('standalone' in navigator) query.set('start', 'here');
  document.head.append(el('link', { rel: 'manifest', href: `manifest.webmanifest?${query}` }));
}

/** The addresses of everything that the page has loaded, without what is said of orders. */
async function loaded() {
  await Promise.allSettled([...document.images].map((image) => image.decode()));
  const [folder, menu] = [new URL('./', document.baseURI).href, serviceUrl('menu').href];
  // The menu may name a picture that the bar does not have; the page shows another one in its place.
  const found = performance.getEntriesByType('resource').filter(({ responseStatus }) => responseStatus !== 404);
  const urls = found.map(({ name }) => name);
  return [...new Set(urls.filter((url) => url.startsWith(folder) || url === menu))];
}
