import { $, ignoreDoubleClicks, say } from '../shared/dom.js';
import { learn, t, translatePage } from '../shared/i18n.js';
import { startForm } from './form.js';
import { allOrders } from './order_store.js';
import { takeToken } from '../shared/token.js';

takeToken('submit-token');
const params = new URLSearchParams(location.search);
const AGAIN_MS = 3_000;
let myOrders;

// Following an order takes scripts and texts that the form does not need: they are loaded after it was painted.
// Where that fails, the next call tries again.
function loadMyOrders() {
  myOrders ??= loadScripts().then(({ MyOrders }) => new MyOrders(params), () => { myOrders = null; });
  return myOrders;
}

// The texts are not loaded by the script itself: browsers do not run a script again that has failed.
async function loadScripts() {
  const scripts = await import('./my_orders.js');
  await learn('order/words');
  return scripts;
}

// Until they are there, nothing else is on the page.
async function followOrders() {
  if (await loadMyOrders()) return;
  $('banner').hidden = false;
  say($('banner'), t('reconnecting'));
  setTimeout(followOrders, AGAIN_MS);
}

// Its notification was clicked. If nothing is followed yet, it is the first to be shown.
async function openOrder(id) {
  params.set('order', id);
  await form;
  await followOrders();
  (await myOrders)?.open(id);
}

async function order(choice) {
  const loaded = await loadMyOrders();
  $('banner').hidden = Boolean(loaded);
  say($('banner'), t('tryAgain'));
  loaded?.order(choice());
}

navigator.serviceWorker?.addEventListener('message', ({ data }) => data.show && openOrder(data.show));
translatePage();
ignoreDoubleClicks();
document.title = t('title');
const form = startForm(params.get('drink')?.trim(), order);
if (params.has('order') || (allOrders().length && !params.has('drink'))) {
  await form;
  followOrders();
} else {
  $('form').hidden = false;
  await form;
  requestAnimationFrame(() => setTimeout(loadMyOrders));
}
