import { $, ignoreDoubleClicks, say } from '../shared/dom.js';
import { learn, showTitle, t, translatePage } from '../shared/i18n.js';
import { pollMenu } from '../shared/menu_polling.js';
import { keep, recall } from '../shared/storage.js';
import { keepToken, takeToken, tokenOf } from '../shared/token.js';
import { keepScreenOn } from '../shared/wake_lock.js';
import { followLine } from './next_orders.js';
import { OrderCard } from './order_card.js';
import { askWhoWorks, choiceAtWork, offerDrinks } from './set_up.js';
import { Shift } from './shift.js';

const UNAUTHORIZED = 401;
const REPLACED = 409;

let shift = null;

const acts = {
  accept: () => shift.accept(),
  ready: () => shift.ready(),
  cannot: askWhyNot,
  notMade: () => shift.cannot(t('stopped'), { cancelled: true }),
  here: () => shift.goOn(),
  next: () => shift.goOn(),
  takeOver: () => choose('takeOver'),
  leave: () => choose('leave'),
};

function askWhyNot() {
  const dialog = $('cannot');
  $('why').value = '';
  dialog.onclose = () => {
    const { returnValue } = dialog;
    if (returnValue) shift.cannot($('why').value.trim() || t('noReason'), { retry: returnValue === 'retry' });
  };
  dialog.returnValue = '';
  dialog.showModal();
}

// ---- one shift after the other

let choose = () => {};

async function work() {
  let why = {};
  let choice = choiceAtWork();
  for (;;) {
    choice ??= await askWhoWorks(why);
    why = {};
    const problem = await spend(choice);
    if (problem?.status === REPLACED && await isToGoOn() === 'takeOver') continue;
    if (problem) why = reasonOf(problem);
    choice = null;
  }
}

/** Spend a shift; resolves with the Problem that ended it, if one did. */
async function spend(choice) {
  shift = new Shift(choice, () => recall('worker-sound', false), render);
  $('bar').hidden = $('tools').hidden = false;
  say($('who'), choice.name);
  document.title = t('behind', choice.name);
  keepScreenOn(true);
  const line = followLine();
  render();
  $('headline').focus({ preventScroll: true });
  try {
    await shift.run();
    return null;
  } catch (problem) {
    shift.forget();
    return problem;
  } finally {
    line.close();
    keepScreenOn(false);
    $('tools').hidden = true;
    if ($('cannot').open) $('cannot').close('');
    leaveBar();
  }
}

function leaveBar() {
  $('bar').hidden = true;
  document.title = t('behindTheBar');
  for (const id of ['who', 'link']) say($(id), '');
}

async function isToGoOn() {
  $('bar').hidden = false;
  card.show({ phase: 'away', order: null, notice: '', percent: null, link: 'refused' });
  const answer = await new Promise((resolve) => { choose = resolve; });
  $('bar').hidden = true;
  return answer;
}

function reasonOf({ status, message }) {
  if (status === UNAUTHORIZED) {
    const problem = t(tokenOf('worker-token') ? 'wrongToken' : 'noToken');
    keepToken('worker-token', '');
    return { problem, needsToken: true };
  }
  return status === REPLACED ? {} : { problem: t('refused', message) };
}

function render() {
  const { phase, order, notice, percent, link, isCancelling } = shift;
  card.show({ phase: isCancelling ? 'cancelling' : phase, order, notice, percent, link });
  $('link').dataset.status = document.body.dataset.status = link;
  say($('link'), t(`link.${link}`));
  say($('stop'), t(['making', 'reporting'].includes(phase) ? 'stopAfter' : 'stop'));
  $('stop').setAttribute('aria-pressed', shift.isStopping);
}

function showSound() {
  $('sound').setAttribute('aria-pressed', recall('worker-sound', false));
}

/** Take the token out of the link: from its fragment, which no server sees, or from its query. */
function takeLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return takeToken('worker-token');
  history.replaceState(history.state, '', location.pathname + location.search);
  keepToken('worker-token', token);
}

takeLink();
addEventListener('hashchange', () => location.reload()); // another link was opened in this tab
await learn('worker/words');
translatePage();
ignoreDoubleClicks();
document.title = t('behindTheBar');
fetch('config.json').then((one) => (one.ok ? one.json() : {})).then(showTitle, () => { /* it has no title */ });
const card = new OrderCard(acts, (percent) => shift.say(percent));
$('stop').onclick = () => shift.stop();
$('sound').onclick = () => {
  keep('worker-sound', !recall('worker-sound', false));
  showSound();
};
showSound();
await pollMenu(offerDrinks);
work();
