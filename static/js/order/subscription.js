/** This browser's subscription to push messages, and the orders that it is for. Also for the service worker. */
import { call } from '../shared/http.js';
import { serviceUrl } from '../shared/service_url.js';

const CACHE = `told ${serviceUrl('')}`;
const LIST = serviceUrl('push/told');

/** How long the browser's push service has to answer. Browsers try for minutes, or without end. */
const PATIENCE_MS = 10_000;

/**
 * Subscribe, unless this browser is subscribed already with the bar's present key.
 * @param {PushManager} manager
 * @returns {Promise<PushSubscription>} throws a Problem if the bar does not give its key, and something else if the
 *   browser's push service cannot be reached
 */
export async function subscribe(manager) {
  const { key } = await (await call('push/key')).json();
  const known = await manager.getSubscription();
  if (known && isValid(known, key)) return known;
  await known?.unsubscribe();
  const subscription = manager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  return Promise.race([subscription, tooLate()]);
}

const tooLate = () => new Promise((_, reject) => {
  setTimeout(() => reject(new DOMException('no answer from the push service', 'TimeoutError')), PATIENCE_MS);
});

function isValid({ expirationTime, options }, key) {
  return (!expirationTime || Date.now() < expirationTime) && base64Url(options.applicationServerKey) === key;
}

const base64Url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

/**
 * Have the messages of an order sent to a subscription.
 * @param {string} id the order's secret id
 * @param {string} lang the language of its page
 * @param {PushSubscription} subscription
 */
export async function tell(id, lang, subscription) {
  const body = JSON.stringify({ ...subscription.toJSON(), lang });
  const headers = { 'Content-Type': 'application/json' };
  await call(`jobs/${encodeURIComponent(id)}/push`, { method: 'PUT', headers, body });
}

/** @returns {Promise<{id: string, lang: string}[]>} the orders whose messages were asked for, to renew that */
export async function ordersTold() {
  const found = await caches.match(LIST, { cacheName: CACHE });
  return found ? found.json() : [];
}

/** Note which orders these are, where the service worker can read it. */
export async function noteOrdersTold(orders) {
  await (await caches.open(CACHE)).put(LIST, new Response(JSON.stringify(orders)));
}
