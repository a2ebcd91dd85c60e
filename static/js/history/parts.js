import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { addressOf } from '../monitor/address.js';
import { duration, timeOfDay } from '../monitor/time.js';
import { dayOf, isoOf, nameOfDay, unixOf } from './days.js';

const MOST_GAPS = 5;

/** A part of the page with a heading. */
export function panel(title, ...children) {
  const heading = el('h2', { id: 'found-title', tabIndex: -1 }, title);
  const node = el('section', { className: 'panel' }, heading, ...children);
  node.setAttribute('aria-labelledby', heading.id);
  return node;
}

/** A list of terms and values; those without a value are left out. */
export function facts(values) {
  const shown = Object.entries(values).filter(([, value]) => value !== '');
  return el('dl', { className: 'facts' }, ...shown.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));
}

/** A table. @param {string[]} heads the texts of its columns, by their keys @param {HTMLElement[]} rows */
export function table(heads, rows) {
  const head = el('tr', {}, ...heads.map((key) => el('th', { scope: 'col' }, t(key))));
  const node = el('table', {}, el('thead', {}, head), el('tbody', {}, ...rows));
  node.setAttribute('aria-labelledby', 'found-title');
  return el('div', { className: 'scroll' }, node);
}

/** A link to an order's way. */
export const orderLink = (n) => el('a', { href: addressOf('order', { n }) }, `#${n}`);

/** A link to a robot's day; the text alone for a worker without a name. */
export function robotLink({ worker, callback = '', t: at }) {
  return worker ? el('a', { href: addressOf('robot', { name: worker, day: dayOf(at) }) }, worker) : callback;
}

/** A time of day, exact for programs. */
export const timeElement = (at) => el('time', { dateTime: isoOf(at) }, timeOfDay(at));

/** Format a duration in seconds; short ones in milliseconds. */
export const lasting = (seconds) => (seconds < 1 ? t('history.milliseconds', Math.round(seconds * 1000)) : duration(seconds));

/** What an answer of the service may lack; nothing if it is whole. A bad day may have a lot of it. */
export function gaps({ damage, holes }) {
  const texts = [
    ...holes.map(({ first, last, from, to }) => t('history.hole', last - first + 1, moment(from), moment(to))),
    ...damage.map(({ file, byte, why }) => t('history.damage', file, byte, why)),
  ];
  const shown = texts.length > MOST_GAPS ? [...texts.slice(0, MOST_GAPS), t('history.moreGaps', texts.length - MOST_GAPS)] : texts;
  return el('ul', { className: 'gaps' }, ...shown.map((text) => el('li', { className: 'note' }, text)));
}

function moment(iso) {
  const at = unixOf(iso);
  return `${nameOfDay(dayOf(at))}, ${timeOfDay(at)}`;
}
