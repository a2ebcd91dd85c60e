import { $, isFocusLost, say } from '../shared/dom.js';
import { lang, t } from '../shared/i18n.js';
import { keepScreenOn } from '../shared/wake_lock.js';
import { orderAgain } from './form.js';
import { allOrders, forgetOrder, isOver, newKey, saveOrder } from './order_store.js';
import { renderTabs } from './tabs.js';
import { LiveMenu } from './live_menu.js';
import { QueueView } from './queue_view.js';
import { signal } from '../shared/signal.js';
import { Notifier } from './notifier.js';
import { share } from './share.js';
import { headline, news, renderTicket } from './ticket.js';
import { isUnderWay, TrackedOrder } from './tracked_order.js';

const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const TICK_MS = 10_000;
const LOUD = ['done', 'failed', 'rejected'];
/** The bar may not have these orders. */
const UNSENT = ['sending', 'unsent', 'unsentTooLong'];
/** The bar does not have these orders: they are forgotten once the customer moves on. */
const NOT_TAKEN = ['unsent', 'unsentTooLong', 'rejected', 'gone'];

/** Follows all orders of this phone, shows one of them or the form, and announces what happens to any. */
export class MyOrders {
  /** @type {Set<TrackedOrder>} */
  #orders = new Set();
  /** @type {TrackedOrder|null|undefined} null while the form is shown, undefined until either is */
  #shown;
  #said = new WeakMap();
  /** Ready orders that have not been looked at yet. */
  #news = new Set();
  /** The order that the customer is asked about: whether to cancel it. */
  #toCancel;
  #queue = new QueueView();
  #menu = new LiveMenu();
  #notifier = new Notifier(() => this.#render());

  /** @param {URLSearchParams} params the page's */
  constructor(params) {
    this.#buttons();
    allOrders().forEach((order) => this.#track(order));
    this.#show(this.#first(params));
    setInterval(() => this.#adopt(), TICK_MS);
    addEventListener('storage', () => this.#adopt());
  }

  /** Take an order from the form. It is saved before it is sent, so that a reload does not lose it. */
  order(choice) {
    const order = { ...choice, key: newKey(), asked: Date.now() };
    saveOrder(order);
    this.#show(this.#track(order));
    toHeadline();
  }

  /** Show an order, also one that is not of this phone. */
  open(id) {
    $('confirm').close();
    this.#show(this.#find(id));
    toHeadline();
  }

  #buttons() {
    const press = (id, action) => { $(id).onclick = () => action(this.#shown); };
    press('send', (tracked) => tracked.sendAnyway());
    press('discard', (tracked) => this.#another(tracked));
    press('another', (tracked) => this.#another(tracked));
    press('notify', () => this.#notifier.ask());
    press('share', ({ order }) => share(order.id));
    press('cancel', (tracked) => {
      this.#toCancel = tracked;
      say($('confirm-text'), t(tracked.phase === 'assigned' ? 'confirmStop' : 'confirmText'));
      $('confirm').showModal();
    });
    press('confirm-cancel', () => this.#toCancel.cancel());
    $('confirm').onclose = () => { if (isFocusLost()) toHeadline(); };
  }

  #first(params) {
    const orders = [...this.#orders];
    const id = params.get('order');
    if (id) return this.#find(id);
    if (params.has('drink')) return null;
    // One that failed may still be put back, but whoever has ordered again has seen it.
    return orders.reverse().find(({ order: { state } }, i) => !isOver(state) && (state !== 'failed' || i === 0));
  }

  #find(id) {
    return [...this.#orders].find(({ order }) => order.id === id) ?? this.#track({ id });
  }

  #track(order) {
    const tracked = new TrackedOrder(order, () => this.#changed(tracked));
    this.#orders.add(tracked);
    this.#said.set(tracked, news(tracked));
    return tracked.start();
  }

  // Follow the orders of other tabs once they are sent. Drop those that were discarded there, or ended long ago.
  #adopt() {
    const kept = new Map(allOrders().map((order) => [order.key, order]));
    for (const tracked of [...this.#orders]) {
      const { key, state } = tracked.order;
      const isUnsent = UNSENT.includes(tracked.phase);
      const isPast = tracked !== this.#shown && isOver(state);
      if (isUnsent && kept.get(key)?.id) tracked.sent(kept.get(key).id);
      else if ((isUnsent || isPast) && key && !kept.has(key)) this.#drop(tracked);
      kept.delete(key);
    }
    [...kept.values()].filter(({ id }) => id).forEach((order) => this.#track(order));
    this.#render();
  }

  #changed(tracked) {
    if (!this.#orders.has(tracked)) return;
    this.#keep(tracked);
    this.#announce(tracked);
    if (tracked === this.#shown && tracked.phase === 'gone' && !tracked.order.key) this.#leave(tracked);
    this.#render();
  }

  // An app on a home screen may start with an order that is long over: show what is under way, if anything is.
  #leave(tracked) {
    const other = [...this.#orders].reverse().find(isUnderWay);
    if (!other) return;
    this.#drop(tracked);
    this.#show(other);
  }

  // An order from somebody else's link has no key and is not saved; a rejected one must not be sent again, unless only
  // the code of the bar is missing, which another tab may have; and one that another tab has just discarded does not
  // come back because it could not be sent from here.
  #keep({ order, phase, problem }) {
    if (phase === 'rejected') {
      if (problem.status !== 401) forgetOrder(order);
    } else if (order.key && (order.id || isSaved(order))) saveOrder(order);
  }

  #announce(tracked) {
    const text = news(tracked);
    if (this.#said.get(tracked) === text) return;
    this.#said.set(tracked, text);
    const { phase, order } = tracked;
    const spoken = order.n ? t('spoken', order.n, text) : text;
    say($(LOUD.includes(phase) ? 'alert' : 'status'), spoken);
    if (phase !== 'done') return;
    signal(spoken, () => this.#notifier.notify({ job: order.id, ticket: order.n, kind: 'ready' }, spoken));
    if (tracked !== this.#shown) this.#news.add(tracked);
  }

  #another(tracked) {
    if (NOT_TAKEN.includes(tracked.phase)) this.#forget(tracked);
    orderAgain(tracked.order);
    this.#show(null);
    scrollTo(0, 0);
    $('title').focus({ preventScroll: true });
  }

  #forget(tracked) {
    this.#drop(tracked);
    forgetOrder(tracked.order);
  }

  #drop(tracked) {
    this.#orders.delete(tracked);
    tracked.stop();
    if (tracked === this.#shown) this.#shown = null;
  }

  #show(tracked) {
    this.#shown = tracked ?? null;
    this.#news.delete(tracked);
    this.#render();
  }

  // Keep the address in step, so that a reload, or a copy of it, opens the order that is shown.
  #address() {
    const url = new URL(location);
    const id = this.#shown?.order.id;
    if (id) url.searchParams.set('order', id);
    else url.searchParams.delete('order');
    // The drink from the link has been ordered: a reload must not start over.
    if (this.#shown) url.searchParams.delete('drink');
    if (url.href !== location.href) history.replaceState(null, '', url);
  }

  #render() {
    const shown = this.#shown;
    $('form').hidden = Boolean(shown);
    $('ticket').hidden = !shown;
    this.#menu.follow(shown === null);
    this.#queue.show(Boolean(shown) && isUnderWay(shown), shown);
    this.#notifier.follow([...this.#orders].filter(isUnderWay).map(({ order }) => order.id));
    const hadFocus = $('ticket').contains(document.activeElement);
    if (shown) renderTicket(shown, this.#notifier);
    // The button that was pressed may be gone now.
    if (hadFocus && shown && isFocusLost()) toHeadline();
    renderTabs([...this.#orders].reverse(), shown, (tracked) => this.#show(tracked));
    this.#banner();
    this.#address();
    document.title = this.#title();
    keepScreenOn([...this.#orders].some(isUnderWay));
  }

  #banner() {
    $('banner').hidden = !this.#shown?.stale;
    const since = this.#shown?.heardBefore;
    const asOf = since && t('asOf', clock.format(since));
    say($('banner'), [t(navigator.onLine ? 'reconnecting' : 'offline'), asOf].filter(Boolean).join(' '));
  }

  #title() {
    const [tracked = this.#shown] = this.#news;
    if (!tracked) return t('title');
    const { n } = tracked.order;
    return [headline(tracked), n && `#${n}`, t('brand')].filter(Boolean).join(' · ');
  }
}

const isSaved = (order) => allOrders().some(({ key }) => key === order.key);
const toHeadline = () => $('headline').focus({ preventScroll: true });
