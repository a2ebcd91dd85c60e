import { $, say, show } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';
import { drinkImage, drinkName } from '../shared/menu.js';
import { isUnderWay } from './tracked_order.js';
import { waitingTime } from './waiting_time.js';

/** Which entry of #steps is current; -1: none yet. No entry here: the steps are hidden. */
const STEP = { sending: -1, unsent: -1, unsentTooLong: -1, loading: -1, waiting: 1, assigned: 2, done: 3 };
const BUTTONS = {
  unsent: ['send', 'discard'], unsentTooLong: ['send', 'discard'], rejected: ['another'],
  waiting: ['another', 'notify', 'share', 'cancel'], assigned: ['another', 'notify', 'share', 'cancel'],
  done: ['another', 'share'], failed: ['another'], cancelled: ['another'], gone: ['another'],
};
const FELL_THROUGH = ['rejected', 'failed', 'cancelled', 'gone'];

/** Reasons to wait in which an order has no place in line: no robot at work is known to make the drink. */
const UNSERVED = ['no_able_worker', 'worker_aside', 'matching'];

/** By order: the waiting time on screen, which waitingTime() keeps until it is off by a minute. */
const timesShown = new WeakMap();

/** By order: the quarter of the way that was announced last, and in which words. */
const quarters = new WeakMap();

/** The headline of an order. */
export const headline = (tracked) => t(`head.${standing(tracked)}`, tracked.entry.ahead);

/** What to announce: the headline, why it waits, each quarter of the way. */
export const news = (tracked) => [headline(tracked), whyWaiting(tracked), quarter(tracked), tooLate(tracked)].filter(Boolean).join('. ');

/**
 * Show an order: its picture, phase, waiting time, notes, steps, buttons, and how its customer is notified.
 * @param {import('./tracked_order.js').TrackedOrder} tracked
 * @param {import('./notifier.js').Notifier} notifier
 */
export function renderTicket(tracked, notifier) {
  Object.assign($('ticket').dataset, { phase: tracked.phase, stale: tracked.stale, stopping: tracked.isStopping });
  renderStub(tracked.order);
  show($('robot'), FELL_THROUGH.includes(tracked.phase) ? 'img/robot-sad.svg' : 'img/robot.svg');
  say($('headline'), headline(tracked));
  renderLine('eta', waitingLine(tracked));
  renderProgress(tracked);
  renderLine('note', note(tracked));
  renderLine('why', whyWaiting(tracked));
  renderSteps(tracked);
  renderButtons(tracked, notifier);
  say($('notified'), isUnderWay(tracked) ? t(`notified.${notifier.standing(tracked.order.id)}`) : '');
}

function renderStub({ n, logo, drink, name }) {
  say($('number'), String(n ?? ''));
  $('number').parentElement.style.setProperty('--digits', Math.max(2, String(n ?? '').length));
  show($('logo'), logoImage(logo));
  $('logo').hidden = !logo;
  $('logo').alt = t(`logos.${logo}`);
  say($('drink'), drinkName(drink));
  say($('for'), name ? t('forName', name) : '');
  for (const img of $('ticket').querySelectorAll('.drink')) show(img, drinkImage(drink));
}

function renderProgress(tracked) {
  const { percent, text = '' } = progressOf(tracked);
  const isKnown = percent !== undefined;
  $('making').hidden = !isKnown && !text;
  $('done').hidden = !isKnown;
  $('ticket').dataset.filling = isKnown;
  if (isKnown) {
    $('done').value = percent;
    $('ticket').style.setProperty('--done', `${percent}%`);
  }
  say($('percent'), isKnown ? t('percent', Math.floor(percent)) : '');
  say($('step-text'), text);
}

const progressOf = ({ phase, entry }) => (phase === 'assigned' ? entry.progress ?? {} : {});

// Not each percent: a screen reader would say nothing else.
function quarter(tracked) {
  const { percent, text } = progressOf(tracked);
  const reached = percent === undefined ? text : Math.floor(percent / 25);
  const said = quarters.get(tracked);
  if (said && said.reached === reached) return said.words;
  const words = reached ? [percent && t('percent', Math.floor(percent)), text].filter(Boolean).join(', ') : '';
  quarters.set(tracked, { reached, words });
  return words;
}

/** What to say of an order that was to be cancelled, and is ready. */
const tooLate = ({ phase, order }) => (phase === 'done' && order.isToStop ? t('readyAnyway') : '');

function renderLine(id, text) {
  $(id).hidden = !text;
  say($(id), text);
}

/** The line with the waiting time, which it notes as the one on screen. */
function waitingLine(tracked) {
  const { phase, entry, now } = tracked;
  const shown = waitingTime(entry.eta, now, timesShown.get(tracked));
  timesShown.set(tracked, shown);
  if (!isUnderWay(tracked) || tracked.isStopping || (shown?.late && tracked.heardBefore)) return '';
  const about = shown && !shown.late ? t('about', shown.lowMin, shown.highMin) : '';
  return entry.late || shown?.late ? [t('late'), about].filter(Boolean).join(': ') : about;
}

function note(tracked) {
  const { phase, problem, entry, notice } = tracked;
  if (phase === 'rejected' && problem.status === 401) return t('onlyWithCode');
  if (phase === 'unsent' && problem.status) return t('note.busy');
  if (phase === 'assigned' && entry.doubt) return t('doubt');
  if (tracked.isStopping) return t('stopping');
  if (tooLate(tracked)) return `${tooLate(tracked)} ${t('note.done')}`;
  // The reasons that robots and the service give are for staff; customers get texts of their own.
  return t(`note.${phase}`) || notice;
}

// After a cancellation the last entry may still be of an order that waits.
const reasonToWait = ({ phase, entry }) => (phase === 'waiting' ? entry.why?.reason : '');
const whyWaiting = (tracked) => t(`whyWaiting.${reasonToWait(tracked)}`);

/** Which headline an order has: its phase, or what it waits for where it has no place in line. */
function standing(tracked) {
  const { phase, entry } = tracked;
  if (tracked.isStopping) return 'stopping';
  const reason = reasonToWait(tracked);
  if (UNSERVED.includes(reason)) return 'unserved';
  // With none ahead it is next only if robots serve the line: while they do not, nobody may make it.
  if (phase !== 'waiting' || reason === 'behind' || entry.ahead) return phase;
  return reason === 'paused' ? 'paused' : 'unserved';
}

function renderSteps(tracked) {
  const { phase, entry } = tracked;
  const now = STEP[phase];
  $('steps').hidden = now === undefined;
  [...$('steps').children].forEach((step, i) => {
    step.classList.toggle('past', i < now);
    if (i === now) step.setAttribute('aria-current', 'step');
    else step.removeAttribute('aria-current');
  });
  say($('step-line'), standing(tracked) === 'waiting' ? t('aheadShort', entry.ahead) : t('waiting'));
}

function renderButtons(tracked, notifier) {
  const { phase, order } = tracked;
  const offered = (BUTTONS[phase] ?? []).filter((id) => ALLOWED[id]?.(tracked, notifier) ?? true);
  for (const button of $('ticket').querySelectorAll('button')) button.hidden = !offered.includes(button.id);
  say($('another'), t(FELL_THROUGH.includes(phase) ? 'again' : 'another'));
  $('another').classList.toggle('primary', phase === 'done' || FELL_THROUGH.includes(phase));
  $('share-link').hidden ||= !offered.includes('share') || $('share-link').dataset.order !== order.id;
}

// Only the phone that placed an order has its key: a shared link cannot cancel it.
const ALLOWED = {
  notify: (tracked, notifier) => notifier.canAsk,
  cancel: ({ phase, order, entry }) => Boolean(order.key && (phase === 'waiting' || entry.can_cancel)),
};
