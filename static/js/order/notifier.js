import { Problem } from '../shared/http.js';
import { lang } from '../shared/i18n.js';
import { mayNotify, notifyHere } from '../shared/signal.js';
import { startApp } from './app.js';
import { noteOrdersTold, subscribe, tell } from './subscription.js';

const RETRY_MS = 60_000;
/** The order is over, or three phones are told of it already. */
const NOT_ONE_MORE = 409;

/** Has this browser notified of orders: by push, which needs no open page, or else by this page while it lives. */
export class Notifier {
  #onChange;
  /** @type {ServiceWorkerRegistration|null|undefined} undefined until it is known */
  #registration;
  /** The ids of the orders that wait or are made. */
  #orders = [];
  /** By id: `on`, or `refused` by the bar. */
  #outcomes = new Map();
  /** Why no order can be told: `unreachable`, `refused`, or empty. */
  #obstacle = '';
  #isBusy = false;
  #nextTry = 0;

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
    startApp().then((registration) => {
      this.#registration = registration;
      onChange();
    });
    addEventListener('online', () => {
      this.#nextTry = 0;
      onChange();
    });
  }

  /** Whether to offer notifications: only where the browser has not been asked yet. */
  get canAsk() {
    return isSecureContext && window.Notification?.permission === 'default';
  }

  /** Ask the browser for leave to notify. Call it in the handler of a click. */
  async ask() {
    await Notification.requestPermission();
    this.#onChange();
  }

  /**
   * How its customer is notified of an order.
   * @param {string} id
   * @returns {string} empty if that is not known yet; `on`; or why not: `insecure`, `homeScreen`, `unsupported`,
   *   `denied`, `unreachable`, `refused`
   */
  standing(id) {
    if (!isSecureContext) return 'insecure';
    if (this.#registration === undefined) return '';
    if (!this.#canPush) return navigator.standalone === false ? 'homeScreen' : 'unsupported';
    const { permission } = Notification;
    if (permission === 'granted') return this.#outcomes.get(id) ?? this.#obstacle;
    return permission === 'denied' ? 'denied' : '';
  }

  /** Have all these orders told by push, now and until they are over. @param {string[]} ids */
  follow(ids) {
    this.#orders = ids;
    const isToTell = this.#canPush && mayNotify() && ids.some((id) => !this.#outcomes.has(id));
    if (isToTell && !this.#isBusy && Date.now() >= this.#nextTry) this.#tell();
  }

  /**
   * Show a notification from this page. A push that says the same shows no second one.
   * @param {{job: string, ticket: number, kind: string}} message
   * @param {string} text for browsers without service workers
   */
  notify(message, text) {
    const worker = this.#registration?.active;
    if (worker) worker.postMessage({ notice: { ...message, lang } });
    else notifyHere(text);
  }

  get #canPush() {
    return Boolean(this.#registration && window.PushManager && window.Notification);
  }

  async #tell() {
    this.#isBusy = true;
    this.#nextTry = Date.now() + RETRY_MS; // at once if this fails, and the network comes back meanwhile
    try {
      const subscription = await subscribe(this.#registration.pushManager);
      this.#obstacle = '';
      for (const id of this.#orders.filter((one) => !this.#outcomes.has(one))) await this.#tellOf(id, subscription);
      const told = this.#orders.filter((id) => this.#outcomes.get(id) === 'on');
      await noteOrdersTold(told.map((id) => ({ id, lang })));
      this.#nextTry = 0;
    } catch (error) {
      this.#obstacle = obstacleOf(error);
    }
    this.#isBusy = false;
    this.#onChange();
  }

  async #tellOf(id, subscription) {
    try {
      await tell(id, lang, subscription);
      this.#outcomes.set(id, 'on');
    } catch (problem) {
      if (problem.isTemporary && problem.status !== NOT_ONE_MORE) throw problem;
      this.#outcomes.set(id, 'refused');
    }
  }
}

// While the bar itself cannot be reached, the page says that already.
function obstacleOf(error) {
  if (!(error instanceof Problem)) return 'unreachable';
  return error.isTemporary ? '' : 'refused';
}
