import { $, ignoreDoubleClicks, say } from '../shared/dom.js';
import { t, translatePage } from '../shared/i18n.js';
import { startForm } from './form.js';
import { allOrders } from './order_store.js';
import { takeToken } from '../shared/token.js';

takeToken('submit-token');
const params = new URLSearchParams(location.search);
let myOrders;

// Following an order takes scripts that the form does not need: they are loaded after it was painted.
// Where that fails, the next call tries again.
function loadMyOrders() {
  myOrders ??= import('./my_orders.js').then(({ MyOrders }) => new MyOrders(params), () => { myOrders = null; });
  return myOrders;
}

async function order(choice) {
  const loaded = await loadMyOrders();
  $('banner').hidden = Boolean(loaded);
  say($('banner'), t('tryAgain'));
  loaded?.order(choice);
}

translatePage();
ignoreDoubleClicks();
document.title = t('title');
const form = startForm(params.get('drink')?.trim(), order);
if (params.has('order') || (allOrders().length && !params.has('drink'))) {
  await form;
  loadMyOrders();
} else {
  $('form').hidden = false;
  await form;
  requestAnimationFrame(() => setTimeout(loadMyOrders));
}
