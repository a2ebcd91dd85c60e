import { EMPTY, reduce } from './live_view.js';
import { ABNORMAL, eventStream, webSocket } from './transports.js';

const OPENING_MS = 10_000;
const WATCHDOG_MS = 45_000;
const HEARTBEAT_MS = 25_000;
const GRACE_MS = 2_000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
/** The client sent something, or its query, e.g. `since`, is wrong. */
const CLIENT_SPOKE = 4400;

/** The pause before attempt `n` (from 0) in ms, with jitter, so that a full room does not reconnect at once. */
export function delay(n, random = Math.random()) {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** n * (1 + random / 2));
}

/**
 * Follow a live view of the service. It only listens; after a break it resumes with `since`.
 *
 * `status` is one of `closed`, `connecting`, `live`, `stale` (not connected for two seconds) and
 * `refused` (`code` says why; it does not try again).
 */
export class Connection {
  view = EMPTY;
  status = 'closed';
  code = null;
  #query;
  #onChange;
  #base;
  #hangUp = () => {};
  #timer;
  #grace;
  #tries = 0;
  /** Attempts in a row without a frame. A websocket that never worked gets one, one that did gets two. */
  #unheard = 1;
  #heardAt = 0;
  #wake = (event) => this.#resume(event);

  /**
   * @param {Object<string, string>} query `{view: 'board'}` or `{order: id}`
   * @param {(connection: Connection) => void} onChange called after every frame and every new status
   * @param {string|URL} [base] the URL of another topic to follow
   */
  constructor(query, onChange, base = '') {
    this.#query = query;
    this.#onChange = onChange;
    this.#base = base;
  }

  /** The server's time in seconds. */
  get now() {
    return Date.now() / 1000 + this.view.offset;
  }

  /** Connect, and reconnect after each break, until `close`. @returns {Connection} itself */
  open() {
    this.#listen(addEventListener);
    this.#away();
    this.#connect();
    return this;
  }

  /** Disconnect for good; the view stays. */
  close() {
    this.#stop('closed');
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#heardAt = 0;
    const transport = this.#unheard < 2 ? webSocket : eventStream;
    const heard = (frame) => this.#received(frame);
    this.#hangUp = transport(this.#base, this.#since(), heard, (code) => this.#lost(code));
    this.#watch(OPENING_MS);
  }

  #since() {
    const { at } = this.view;
    return new URLSearchParams(at ? { ...this.#query, since: at } : this.#query);
  }

  #received(frame) {
    clearTimeout(this.#grace);
    this.#heardAt = Date.now();
    this.#tries = 0;
    // The transport that works is tried first next time.
    if (this.#unheard < 2) this.#unheard = 0;
    this.view = reduce(this.view, frame, Date.now() / 1000);
    this.#watch(WATCHDOG_MS);
    this.#report('live');
  }

  #lost(code) {
    this.#hangUp();
    const forget = code === CLIENT_SPOKE && this.view.at;
    if (code >= 4400 && code < 4500 && !forget) return this.#refused(code);
    if (forget) this.view = { ...this.view, at: null };
    // Where websockets bring no frame, try the event stream once, then start over.
    if (!this.#heardAt && code < 4000) this.#unheard = (this.#unheard + 1) % 3;
    if (this.status === 'live') this.#away();
    this.#again();
  }

  #again() {
    this.#heardAt = 0;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), delay(this.#tries++));
  }

  #refused(code) {
    this.code = code;
    this.#stop('refused');
  }

  #stop(status) {
    this.#hangUp();
    clearTimeout(this.#timer);
    clearTimeout(this.#grace);
    this.#listen(removeEventListener);
    this.#report(status);
  }

  // On the window, since `visibilitychange` bubbles up to it from the document.
  #listen(change) {
    for (const type of ['online', 'offline', 'pageshow', 'visibilitychange']) change(type, this.#wake);
  }

  #away() {
    this.#grace = setTimeout(() => this.#report('stale'), GRACE_MS);
    this.#report('connecting');
  }

  #watch(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(ABNORMAL), ms);
  }

  // After sleep, or a change of network, a socket may be dead without having been closed.
  #resume({ type, persisted }) {
    if (type === 'offline') return this.#lost(ABNORMAL);
    if (persisted === false) return; // the page has just been loaded, and is connecting
    const quiet = Date.now() - this.#heardAt > HEARTBEAT_MS;
    if (document.hidden || !(quiet || type === 'online')) return;
    this.#hangUp();
    if (this.status === 'live') this.#away();
    this.#connect();
  }

  #report(status) {
    this.status = status;
    this.#onChange(this);
  }
}
