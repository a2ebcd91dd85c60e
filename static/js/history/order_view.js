import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { drinkName } from '../shared/menu.js';
import { isTrouble } from '../monitor/model.js';
import { reasonToWait } from '../monitor/reasons.js';
import { duration } from '../monitor/time.js';
import { dayOf, nameOfDay } from './days.js';
import { wayOf } from './event_pages.js';
import { phasesOf, timeIn, stepsOf } from './order_steps.js';
import { facts, gaps, lasting, panel, robotLink, timeElement } from './parts.js';

const NUMBER = /^\d{1,15}$/;
const UNKNOWN = { job: null, events: [], damage: [], holes: [] };

/** Get everything that happened to an order. */
export async function ask({ n }) {
  if (!NUMBER.test(n)) return UNKNOWN;
  try {
    return await wayOf(n);
  } catch (problem) {
    if (problem.status === 404) return UNKNOWN;
    throw problem;
  }
}

/** Show what happened to an order: how long each phase lasted, and every step. */
export function draw(way, { n }, { now, orderOf }) {
  const title = t('history.order', n);
  if (!way.events.length) return [panel(title, gaps(way), el('p', {}, t('history.unknown', n)))];
  const steps = stepsOf(way.events, now());
  const before = steps.filter(({ isEnd }) => !isEnd);
  const isCut = steps[0].kind !== 'job.submitted';
  return [panel(
    title, gaps(way),
    el('p', { className: 'hint' }, describe(orderOf(Number(n)))),
    facts(summary(steps.at(-1), before, way.job)),
    bar(phasesOf(before)),
    el('p', { className: 'note', hidden: !isCut }, t('history.cut')),
    ...[...new Set(steps.map(({ t: at }) => dayOf(at)))].flatMap((day) => [
      el('h3', {}, nameOfDay(day)),
      el('ol', { className: 'way' }, ...steps.filter(({ t: at }) => dayOf(at) === day).map(item)),
    ]),
  )];
}

function describe(order) {
  if (!order) return '';
  const what = [drinkName(order.drink), order.name && t('forName', order.name)].filter(Boolean).join(' ');
  return [what, reasonToWait(order.why)].filter(Boolean).join(': ');
}

function summary({ phase, attempt = 0 }, before, job) {
  const mixed_s = timeIn(before, 'mixing');
  return {
    [t('state')]: phase === 'doubt' ? t('robotState.in doubt') : t(`shelf.${job?.state ?? phase}`),
    [t('history.waited')]: duration(timeIn(before, 'waiting')),
    [t('history.mixed')]: mixed_s ? duration(mixed_s) : '',
    [t('history.whole')]: duration(timeIn(before)),
    [t('history.attempts')]: String(attempt),
  };
}

// Everything in it is in the list too.
function bar(phases) {
  const node = el('div', { className: 'phases' }, ...phases.map(({ phase, lasted_s }) => {
    const part = el('i', { title: t(`history.lasted.${phase}`, lasting(lasted_s)) });
    part.dataset.phase = phase;
    part.style.flexGrow = lasted_s;
    return part;
  }));
  node.setAttribute('aria-hidden', 'true');
  return node;
}

function item(step) {
  const { kind, attempt, phase, percent, reason, worker, callback } = step;
  const notes = [
    worker || callback ? robotLink(step) : '',
    kind === 'job.assigned' ? t('attempts', attempt) : '',
    percent !== undefined && t('percent', Math.floor(percent)),
    reason,
  ].filter(Boolean);
  const details = el('span', { className: 'hint' }, ...notes.flatMap((note, i) => (i ? [' · ', note] : [note])));
  const head = el('p', {}, timeElement(step.t), el('b', {}, t(`kinds.${kind}`) || kind), details);
  const node = el('li', {}, head, el('p', { className: 'hint' }, restOf(step)));
  Object.assign(node.dataset, { phase, trouble: isTrouble(step) });
  return node;
}

// How long the phase that a step began lasted; nothing after the order's end, or under a millisecond.
function restOf({ phase, lasted_s, isOpen, isEnd }) {
  if (!phase || isEnd || lasted_s < 0.0005) return '';
  return t(`history.lasted.${phase}`, isOpen ? t('history.soFar', duration(lasted_s)) : lasting(lasted_s));
}
