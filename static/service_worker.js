/*
 * The service worker of the order page: it shows the page where the bar cannot be reached, and notifications.
 *
 * Its scope is that page alone, so no other page is slowed. A page that came from the network loads everything else
 * from there, too: what is shown is of one version, and an edit is seen at the next load.
 */
import { find, keepPage, load, PAGE } from './js/order/kept_page.js';
import { noticeOf } from './js/order/notice.js';
import { ordersTold, subscribe, tell } from './js/order/subscription.js';
import { serviceUrl } from './js/shared/service_url.js';

/** The pages, by their ids, that were opened from what is kept. */
const kept = new Set();

// A new version begins at once: pages exchange with it nothing but the messages below.
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.registration.navigationPreload?.enable()));

self.addEventListener('fetch', (event) => {
  const { request, clientId } = event;
  if (request.mode === 'navigate') event.respondWith(open(event));
  else if (kept.has(clientId) && isOfPage(request)) event.respondWith(find(request).then((found) => found ?? fetch(request)));
});

async function open(event) {
  const { answer, isKept } = await load(event);
  if (isKept) kept.add(event.resultingClientId);
  return answer;
}

const isOfPage = ({ url }) => url.startsWith(new URL('./', PAGE)) || url === String(serviceUrl('menu'));

self.addEventListener('message', (event) => {
  const { keep, notice } = event.data;
  // A page that was opened from what is kept is not newer, and the bar may have a new version by now.
  if (keep && !kept.has(event.source.id)) event.waitUntil(keepPage(keep));
  if (notice) event.waitUntil(notify(notice));
});

self.addEventListener('push', (event) => event.waitUntil(notify(event.data.json())));

// One after the other: two at the same time would both find that neither is shown yet, and alert twice. Chromium even
// forgets a notification if it is asked for others just then.
let last = Promise.resolve();

function notify(message) {
  last = last.catch(() => {}).then(() => show(message));
  return last;
}

async function show(message) {
  const { title, ...options } = noticeOf(message);
  const shown = await self.registration.getNotifications({ tag: options.tag });
  // One that is shown already was sent again, or this page was there first: it does not alert twice.
  const isNew = shown.every((one) => one.title !== title);
  await self.registration.showNotification(title, { ...options, renotify: isNew, silent: !isNew });
}

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(showOrder(event.notification.data));
});

// Not by the order in a page's address: what browsers say is the address at which it was opened.
async function showOrder({ order, lang }) {
  const pages = (await self.clients.matchAll({ type: 'window', includeUncontrolled: true })).filter(isOrderPage);
  const page = pages.find(({ visibilityState }) => visibilityState === 'visible') ?? pages[0];
  if (!page) return self.clients.openWindow(`${PAGE}?${new URLSearchParams({ order, lang })}`);
  page.postMessage({ show: order });
  return page.focus();
}

const isOrderPage = ({ url }) => url.split(/[?#]/, 1)[0] === PAGE.href;

self.addEventListener('pushsubscriptionchange', (event) => event.waitUntil(renew()));

async function renew() {
  const subscription = await subscribe(self.registration.pushManager);
  await Promise.allSettled((await ordersTold()).map(({ id, lang }) => tell(id, lang, subscription)));
}
