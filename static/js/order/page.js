import { $, ignoreDoubleClicks, say } from '../shared/dom.js';
import { t, translatePage } from '../shared/i18n.js';
import { startForm } from './form.js';
import { allOrders } from './order_store.js';
import { takeToken } from '../shared/token.js';

takeToken('submit-token');
const params = new URLSearchParams(location.search);
let desk;

// What follows an order is not needed to show the form, so it is loaded after it was painted.
// Where the network fails it is loaded again the next time.
function openDesk() {
  desk ??= import('./my_orders.js').then(({ Desk }) => new Desk(params), () => { desk = null; });
  return desk;
}

async function order(choice) {
  const opened = await openDesk();
  $('banner').hidden = Boolean(opened);
  say($('banner'), t('tryAgain'));
  opened?.order(choice);
}

translatePage();
ignoreDoubleClicks();
document.title = t('title');
const form = startForm(params.get('drink')?.trim(), order);
if (params.has('order') || (allOrders().length && !params.has('drink'))) {
  await form;
  openDesk();
} else {
  $('form').hidden = false;
  await form;
  requestAnimationFrame(() => setTimeout(openDesk));
}
