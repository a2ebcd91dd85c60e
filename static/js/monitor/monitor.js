import { Connection } from '../shared/connection.js';
import { $, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { pollMenu } from '../shared/menu_polling.js';
import { keepToken, tokenOf } from '../shared/token.js';
import { currentAddress } from './address.js';
import { Chart } from './chart.js';
import { copyAsJson } from './copy_json.js';
import { EventLog } from './event_log.js';
import { read } from './model.js';
import { Operator } from './operator.js';
import { OrdersTable } from './orders_table.js';
import { askForToken } from './sign_in.js';
import { numbersOf, renderTiles } from './tiles.js';
import { tick } from './time.js';
import { toast } from './toast.js';
import { Topics } from './topics.js';
import { REWIND, Views } from './views.js';
import { WorkersTable } from './workers_table.js';

const TICK_MS = 1_000;
const UNAUTHORIZED = 4401;

/** The operator's page: signs in, follows the monitor view and shows it. */
export class Monitor {
  #connection = null;
  /** Names of drinks are not redrawn, so nothing is followed before the menu has loaded. */
  #menu = pollMenu();
  #isDue = false;
  #operator = new Operator(() => this.#refused('wrongToken'));
  #workers = new WorkersTable(this.#operator);
  #orders = new OrdersTable(this.#operator);
  #log = new EventLog();
  #chart = new Chart();
  #topics = new Topics();
  /** The past; null until it is looked at. */
  #rewind = null;
  #loading = null;
  /** A promise while the page is opened after the sign-in, and afterwards; else null. */
  #opening = null;
  #views = new Views({
    topics: this.#topics,
    operator: this.#operator,
    now: () => this.#connection.now,
    orderOf: (n) => this.#connection.view.entries[`order/${n}`],
    unauthorized: () => this.#refused('wrongToken'),
  });

  start() {
    $('pause').onclick = () => this.#operator.act(this.#model.bar.paused ? 'resume' : 'pause');
    $('copy').onclick = () => copyAsJson(this.#source.view);
    $('sign-out').onclick = () => this.#signOut();
    setInterval(() => this.#tick(), TICK_MS);
    for (const type of ['resize', 'hashchange']) addEventListener(type, () => this.#changed());
    addEventListener('hashchange', () => this.#turn());
    if (tokenOf('operator-token')) this.#follow();
    else this.#ask();
  }

  get #model() {
    return read(this.#source?.view.entries ?? {});
  }

  /** What is shown: the live view, or the past. */
  get #source() {
    return this.#rewind?.isShown ? this.#rewind : this.#connection;
  }

  async #follow() {
    await this.#menu;
    const token = tokenOf('operator-token');
    this.#connection?.close(); // the token was sent twice
    this.#opening = null;
    this.#connection = new Connection({ view: 'monitor', token }, () => this.#changed());
    this.#connection.open();
  }

  #ask(problem) {
    this.#opening = null;
    this.#rewind?.hide();
    $('tools').hidden = true;
    this.#views.close();
    askForToken(problem, (token) => {
      keepToken('operator-token', token);
      this.#follow();
    });
  }

  #refused(problem) {
    this.#connection?.close();
    this.#connection = null;
    keepToken('operator-token', '');
    this.#ask(problem);
    this.#render();
  }

  #signOut() {
    this.#topics.signOut();
    location.reload();
  }

  // Draw at most once per animation frame, and not at all while the page is hidden.
  #changed() {
    const { status, code } = this.#connection ?? {};
    if (status === 'refused') return this.#refused(code === UNAUTHORIZED ? 'wrongToken' : 'refused');
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => { this.#isDue = false; this.#render(); });
  }

  #render() {
    const { status, view: live } = this.#connection ?? {};
    const { isShown } = this.#rewind ?? {};
    this.#renderBadge(isShown ? 'past' : status, live?.at);
    if (!live?.at) return;
    this.#opening ??= this.#open(this.#connection);
    const { view, now } = this.#source;
    if (!view.at && !isShown) return;
    this.#operator.isIdle = Boolean(isShown);
    const model = this.#model;
    this.#renderPause(model.bar);
    renderTiles($('tiles'), numbersOf(model));
    this.#workers.show(model);
    this.#orders.show(model);
    this.#log.show(model, this.#operator.isIdle);
    this.#chart.show(model.minutes, now);
    tick(now);
  }

  // The links to other topics are there from the start, or everything would move down for them.
  async #open(connection) {
    await this.#topics.load();
    if (this.#connection !== connection) return;
    const signedIn = $('sign-in').contains(document.activeElement);
    $('sign-in').hidden = true;
    $('tools').hidden = false;
    this.#views.open();
    this.#turn();
    if (signedIn) $('title').focus({ preventScroll: true });
    this.#render();
  }

  // To the past, or back: the live view is followed all the while.
  async #turn() {
    const isPast = () => this.#opening && currentAddress().view === REWIND;
    if (!isPast()) return this.#rewind?.hide();
    this.#loading ??= import('../rewind/rewind.js').then(({ openRewind }) => openRewind({
      changed: () => this.#changed(),
      unauthorized: () => this.#refused('wrongToken'),
      liveNow: () => this.#connection.now,
    }));
    try {
      this.#rewind = await this.#loading;
    } catch {
      this.#loading = null;
      return toast('', null, t('notLooked'));
    }
    if (isPast()) this.#rewind.show();
  }

  #renderBadge(status, at) {
    $('badge').hidden = !status;
    $('badge').dataset.status = document.body.dataset.status = status;
    say($('badge'), status ? t(at && status === 'connecting' ? 'badge.reconnecting' : `badge.${status}`) : '');
  }

  #renderPause({ paused, waiting = 0 }) {
    $('paused').hidden = !paused;
    say($('pause'), t(paused ? 'resume' : 'pause'));
    const isOverview = this.#views.current === 'overview';
    const here = isOverview ? t('allTopics') : this.#topics.title;
    const state = paused ? t('paused') : t('waitingTitle', waiting);
    say($('title'), here || t('monitor'));
    document.title = [!isOverview && state, here, t('monitor')].filter(Boolean).join(' · ');
  }

  #tick() {
    if (!this.#source?.view.at) return;
    const { bar, minutes } = this.#model;
    this.#renderPause(bar); // a hidden page is not drawn, but its title is seen
    tick(this.#source.now);
    this.#chart.show(minutes, this.#source.now);
  }
}
