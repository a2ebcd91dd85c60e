import { $, el, show } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';

const SHORT = { waiting: 'waiting', assigned: 'mixing', done: 'ready' };

/**
 * Show a tab for each order of this phone, unless the only one is shown already.
 * @param {import('./tracked_order.js').TrackedOrder[]} orders
 * @param {import('./tracked_order.js').TrackedOrder|null} shown
 * @param {(tracked: import('./tracked_order.js').TrackedOrder) => void} onChosen
 */
export function renderTabs(orders, shown, onChosen) {
  const list = $('orders').firstElementChild;
  $('orders').hidden = orders.length < (shown ? 2 : 1);
  while (list.children.length < orders.length) list.append(el('li', {}, newTab()));
  while (list.children.length > orders.length) list.lastElementChild.remove();
  orders.forEach((tracked, i) => renderTab(list.children[i].firstElementChild, tracked, shown, onChosen));
}

function newTab() {
  const picture = el('img', { alt: '', width: 32, height: 32 });
  return el('button', { type: 'button' }, picture, el('b'), el('span'));
}

function renderTab(tab, tracked, shown, onChosen) {
  const { order, phase } = tracked;
  const [picture, number, word] = tab.children;
  show(picture, logoImage(order.logo));
  number.textContent = order.n ?? '–';
  word.textContent = SHORT[phase] ? t(SHORT[phase]) : t(`head.${phase}`);
  tab.dataset.phase = phase;
  tab.setAttribute('aria-current', tracked === shown);
  tab.onclick = () => onChosen(tracked);
}
