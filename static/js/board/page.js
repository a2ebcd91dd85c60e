import { serviceUrl } from '../shared/service_url.js';
import { columns } from '../shared/board_columns.js';
import { wake } from '../shared/chime.js';
import { Connection } from '../shared/connection.js';
import { $, el, say } from '../shared/dom.js';
import { showTitle, t, translatePage } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';
import { drinkName } from '../shared/menu.js';
import { pollMenu } from '../shared/menu_polling.js';
import { keepScreenOn } from '../shared/wake_lock.js';

/** How many orders a column holds without scrolling. */
const ROOM = { ready: 8, mixing: 5, next: 8 };
const CODE_AGAIN_MS = 15_000;

let announcer = null;

function render({ view, status }) {
  document.body.dataset.known = Boolean(view.at);
  const board = columns(view.entries);
  announcer?.hear(board.ready);
  const waiting = Math.max(board.bar.waiting ?? 0, board.next.length);
  renderColumn('ready', board.ready, board.ready.length);
  renderOthers(board.ready.slice(ROOM.ready).map(({ n }) => n));
  renderColumn('mixing', board.mixing, Math.max(board.bar.assigned ?? 0, board.mixing.length));
  renderColumn('next', board.next, waiting);
  renderStrip(status, board.bar);
}

function renderColumn(id, orders, total) {
  const list = $(id);
  const shown = orders.slice(0, ROOM[id]);
  const old = new Map([...list.children].map((tile) => [tile.dataset.order, tile]));
  const tiles = shown.map((order) => old.get(nameOf(order)) ?? newTile(order));
  tiles.forEach((tile, i) => renderPercent(tile.querySelector('progress'), shown[i].percent));
  // Moving a tile, even to where it was, would restart its animation.
  if (tiles.length !== old.size || tiles.some((tile, i) => tile !== list.children[i])) list.replaceChildren(...tiles);
  if ($(`${id}-more`)) say($(`${id}-more`), total > shown.length ? `+${total - shown.length}` : '');
}

// Older ready orders show as numbers, as many as fit.
function renderOthers(numbers) {
  const list = $('ready-others');
  const key = `${numbers} ${innerWidth} ${innerHeight}`;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.hidden = !numbers.length;
  list.replaceChildren(...numbers.map((n) => el('li', {}, n)));
  let hidden = 0;
  while (list.scrollHeight > list.clientHeight + 1 && list.children.length > 1) {
    if (hidden) list.lastElementChild.remove();
    list.lastElementChild.remove();
    hidden = numbers.length - list.children.length;
    list.append(el('li', { className: 'rest' }, `+${hidden}`));
  }
}

// After a restart with an older state, or none, a number is given out again; the menu may come late, or be edited.
const nameOf = ({ n, logo, drink }) => `${n} ${logo} ${drinkName(drink)}`;

function newTile(order) {
  const { n, logo, drink } = order;
  const number = el('b', { className: n > 999 ? 'long' : '' }, n);
  const picture = el('img', { src: logoImage(logo), alt: t(`logos.${logo}`) });
  const bar = el('progress', { max: 100 });
  bar.setAttribute('aria-label', t('howFar'));
  const tile = el('li', { className: 'new' }, picture, el('span', {}, number, el('small', {}, drinkName(drink)), bar));
  tile.dataset.order = nameOf(order);
  tile.onanimationend = () => tile.classList.remove('new');
  return tile;
}

function renderPercent(bar, percent) {
  bar.hidden = percent === undefined;
  if (percent !== undefined) bar.value = percent;
}

function renderStrip(status, bar) {
  const stale = status === 'stale' || status === 'refused';
  document.body.dataset.stale = stale;
  const text = { boardStale: stale, boardPaused: bar.paused, boardNoRobot: bar.robots === 0 };
  const key = Object.keys(text).find((one) => text[one]);
  say($('strip'), key ? t(key) : '');
}

// A board stays open for days, and nobody loads it again because the code is missing: the orders get its room meanwhile.
function showCode() {
  $('qr').onload = () => { $('scan').hidden = false; };
  $('qr').onerror = () => {
    $('scan').hidden = true;
    setTimeout(showCode, CODE_AGAIN_MS);
  };
  $('qr').alt = t('scan');
  const url = new URL('order_drink.html', document.baseURI);
  $('qr').src = serviceUrl(`qr.svg?${new URLSearchParams({ url })}`);
}

// Not remembered: after a reload browsers keep a page silent until it is touched, so the switch would lie.
async function switchSound() {
  if (announcer) {
    announcer.stop();
    announcer = null;
  } else {
    wake(); // now: to Safari, what comes after an import is not in the handler of the click any more
    const { Announcer } = await import('./announcer.js');
    announcer = new Announcer(() => connection.now, columns(connection.view.entries).ready);
  }
  $('sound').setAttribute('aria-checked', Boolean(announcer));
}

translatePage();
document.title = t('board');
fetch('config.json').then((one) => (one.ok ? one.json() : {})).then(showTitle, () => { /* it has no title */ });
showCode();
keepScreenOn(true);
const connection = new Connection({ view: 'board' }, render);
await pollMenu(() => render(connection)); // the tiles may have names of drinks that are new
connection.open();
$('sound').onclick = switchSound;
addEventListener('resize', () => render(connection));
