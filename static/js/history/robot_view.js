import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { addressOf } from '../monitor/address.js';
import { duration } from '../monitor/time.js';
import { dayOr, hourOf, isoOf, later, nameOfDay, shortDay, startOf, today } from './days.js';
import { allEvents, joined } from './event_pages.js';
import { facts, gaps, orderLink, panel, table, timeElement } from './parts.js';
import { lanesOf, lengthOf, spansOf, within } from './robot_spans.js';

const HOUR_S = 3600;
const LOOKS = ['order', 'trouble', 'waiting', 'aside', 'absent'];

/** Get a robot's events of a day and of the day before, when it may have begun to wait. */
export async function ask({ name = '', day: given }) {
  if (!name) return joined([]);
  const day = dayOr(given);
  return allEvents({ worker: name, from: isoOf(startOf(day, -1)), to: isoOf(startOf(day, 1)) });
}

/** Show what a robot did on a day: as bars, an hour in a line, and as a list. */
export function draw(answer, { name = '', day: given }, { now }) {
  const day = dayOr(given);
  const bounds = [startOf(day), startOf(day, 1)];
  const spans = within(bounds, spansOf(answer.events, now()));
  const title = t('history.robotDay', name, nameOfDay(day));
  if (!spans.length) return [panel(title, days(name, day), gaps(answer), el('p', {}, t('history.absent')))];
  return [panel(title, days(name, day), gaps(answer), facts(summary(spans)), legend(), chart(spans, bounds), list(spans))];
}

function days(name, day) {
  const link = (other, text) => el('a', { className: 'button small', href: addressOf('robot', { name, day: other }) }, text);
  const [before, after] = [later(day, -1), later(day, 1)];
  const links = [link(before, `← ${shortDay(before)}`), ...(day < today() ? [link(after, `${shortDay(after)} →`)] : [])];
  const node = el('nav', { className: 'days' }, ...links);
  node.setAttribute('aria-label', t('history.otherDays'));
  return node;
}

function summary(spans) {
  const of = (what) => spans.filter((span) => span.what === what);
  const [busy, idle, aside] = ['order', 'waiting', 'aside'].map((what) => lengthOf(of(what)));
  return {
    [t('history.served')]: String(of('order').filter(({ end }) => end === 'job.done').length),
    [t('history.troubled')]: String(of('order').filter(isTroubled).length),
    [t('history.busy')]: duration(busy),
    [t('history.idle')]: duration(idle),
    [t('history.aside')]: aside ? duration(aside) : '',
    [t('statistics.utilisation')]: busy + idle ? t('statistics.percent', Math.round((100 * busy) / (busy + idle))) : '',
  };
}

const isTroubled = ({ what, end, isDoubted }) => what === 'order' && (isDoubted || ['job.failed', 'job.returned'].includes(end));
const looksOf = (span) => (isTroubled(span) ? 'trouble' : span.what);

function legend() {
  return el('ul', { className: 'legend' }, ...LOOKS.map((kind) => {
    const item = el('li', {}, t(`history.span.${kind}`));
    item.dataset.span = kind;
    return item;
  }));
}

// For the eyes only: the list has all of it.
function chart(spans, [begin]) {
  const lanes = lanesOf(spans);
  const [first, last] = [Math.min(...spans.map(({ from }) => from)), Math.max(...spans.map(({ to }) => to))];
  const hours = [];
  for (let at = begin + HOUR_S * Math.floor((first - begin) / HOUR_S); at < last || !hours.length; at += HOUR_S) hours.push(at);
  const node = el('div', { className: 'hours' }, ...hours.flatMap((hour) => [
    el('span', {}, hourOf(hour)),
    el('div', {}, ...lanes.map((lane) => track(within([hour, hour + HOUR_S], lane), hour))),
  ]));
  node.setAttribute('aria-hidden', 'true');
  return node;
}

function track(spans, hour) {
  const percent = (seconds) => `${(100 * seconds) / HOUR_S}%`;
  return el('div', { className: 'track' }, ...spans.map((span) => {
    const bar = span.ticket ? el('a', { href: addressOf('order', { n: span.ticket }), tabIndex: -1 }) : el('i');
    bar.title = `${hourOf(span.from)} ${wordsOf(span).join(' · ')}`;
    bar.dataset.span = looksOf(span);
    Object.assign(bar.style, { left: percent(span.from - hour), width: percent(span.to - span.from) });
    return bar;
  }));
}

function wordsOf({ what, ticket, end, isDoubted, reason }) {
  const kind = t(`history.span.${what}`) + (ticket ? ` #${ticket}` : '');
  return [kind, isDoubted && t('robotState.in doubt'), end ? t(`kinds.${end}`) : '', reason].filter(Boolean);
}

function list(spans) {
  const rows = spans.map((span) => {
    const [, ...notes] = wordsOf(span);
    const row = el(
      'tr', {},
      el('td', {}, timeElement(span.from)), el('th', { scope: 'row' }, t(`history.span.${span.what}`)),
      el('td', {}, span.ticket ? orderLink(span.ticket) : ''), el('td', {}, duration(span.to - span.from)),
      el('td', {}, notes.join(' · ')),
    );
    row.dataset.trouble = isTroubled(span);
    return row;
  });
  return table(['history.time', 'history.activity', 'order', 'history.duration', 'remark'], rows);
}
