import { columns } from '../shared/board_columns.js';
import { Connection } from '../shared/connection.js';
import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';
import { drinkName } from '../shared/menu.js';

const ROOM = 5;

/** Follow the board, and show the next few orders of the line. */
export function followLine() {
  return new Connection({ view: 'board' }, ({ view }) => {
    $('line').dataset.known = Boolean(view.at);
    show(columns(view.entries));
  }).open();
}

function show({ next, bar }) {
  $('next').replaceChildren(...next.slice(0, ROOM).map(item));
  const more = Math.max(bar.waiting ?? 0, next.length) - ROOM;
  say($('next-more'), more > 0 ? t('more', more) : '');
}

function item({ n, logo, drink }) {
  const picture = el('img', { src: logoImage(logo), alt: t(`logos.${logo}`), width: 40, height: 40 });
  return el('li', {}, picture, el('b', {}, n), el('span', {}, drinkName(drink)));
}
