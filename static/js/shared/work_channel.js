import { delay } from './connection.js';
import { Problem } from './http.js';
import { socketUrl } from './service_url.js';
import { ABNORMAL } from './transports.js';

const OPENING_MS = 10_000;
/** How long the service has to reply; after that the connection is dead. */
const REPLY_MS = 5_000;
const GRACE_MS = 2_000;
/** The largest message that the service reads. */
const MAX_SENT_BYTES = 64 * 1024;

/**
 * A worker's websocket: requests with replies, and a session that outlives a lost connection.
 *
 * `status` is one of `closed`, `connecting`, `live`, `stale` (not connected for two seconds) and `refused` (`problem`
 * says why; it does not connect again).
 */
export class WorkChannel {
  status = 'closed';
  problem = null;
  /** The secret by which the next connection goes on, also that of a page which was loaded again. */
  session;
  #base;
  #token;
  #onMessage;
  #socket = null;
  #timer;
  #grace;
  #tries = 0;
  #heardAt = 0;
  #asked = 0;
  #replies = new Map();
  #wake = (event) => this.#resume(event);

  /**
   * @param {{token: string, session: string, base: string|URL}} options
   * @param {(kind: string, members: object) => void} onMessage called with each message that is not a reply, and with
   *   `welcome`, which has `resumed`, and `status` whenever that is a new one
   */
  constructor({ token, session, base }, onMessage) {
    this.#base = base;
    this.#token = token;
    this.session = session;
    this.#onMessage = onMessage;
  }

  /** Connect, and reconnect after each break, until `close`. */
  open() {
    for (const type of ['online', 'offline', 'pageshow', 'visibilitychange']) addEventListener(type, this.#wake);
    this.#away();
    this.#connect();
  }

  /** Disconnect for good. */
  close(status = 'closed') {
    for (const type of ['online', 'offline', 'pageshow', 'visibilitychange']) removeEventListener(type, this.#wake);
    this.#hangUp();
    clearTimeout(this.#timer);
    clearTimeout(this.#grace);
    this.#report(status);
  }

  /**
   * Send a message; resolves with its `ok`, rejects with a Problem: of status 0 if the connection was lost, 413 if the
   * message is too large to be sent.
   */
  ask(kind, members) {
    if (this.problem) return Promise.reject(this.problem);
    if (this.status !== 'live') return Promise.reject(new Problem(0));
    const ref = ++this.#asked;
    const message = JSON.stringify({ [kind]: members, ref });
    if (new TextEncoder().encode(message).length > MAX_SENT_BYTES) {
      return Promise.reject(new Problem(413, `a message may have ${MAX_SENT_BYTES} bytes`));
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lost(ABNORMAL), REPLY_MS);
      this.#replies.set(ref, { resolve, reject, timer });
      this.#socket.send(message);
    });
  }

  #connect() {
    const query = new URLSearchParams();
    if (this.#token) query.set('token', this.#token);
    if (this.session) query.set('session', this.session);
    this.#socket = new WebSocket(socketUrl(`${this.#base}work?${query}`));
    this.#socket.onmessage = ({ data }) => this.#received(JSON.parse(data));
    this.#socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lost(ABNORMAL), OPENING_MS);
  }

  #received({ ref, ...message }) {
    this.#heardAt = Date.now();
    const [[kind, members]] = Object.entries(message);
    const reply = this.#replies.get(ref);
    if (kind === 'welcome') this.#welcomed(members);
    else if (!reply) this.#onMessage(kind, members);
    else this.#replied(ref, reply, kind === 'ok', members);
  }

  #welcomed(welcome) {
    const resumed = welcome.session === this.session;
    clearTimeout(this.#timer);
    clearTimeout(this.#grace);
    this.#tries = 0;
    this.session = welcome.session;
    this.#onMessage('welcome', { ...welcome, resumed });
    this.#report('live');
  }

  #replied(ref, { resolve, reject, timer }, isOk, members) {
    clearTimeout(timer);
    this.#replies.delete(ref);
    if (isOk) resolve(members);
    else reject(new Problem(members.status, members.detail));
  }

  #lost(code, reason = '') {
    this.#hangUp();
    if (code >= 4400 && code < 4500) this.problem = new Problem(code - 4000, reason);
    for (const { reject, timer } of this.#replies.values()) {
      clearTimeout(timer);
      reject(this.problem ?? new Problem(0));
    }
    this.#replies.clear();
    if (this.problem) return this.close('refused');
    if (this.status === 'live') this.#away();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), delay(this.#tries++));
  }

  #hangUp() {
    if (!this.#socket) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #away() {
    this.#grace = setTimeout(() => this.#report('stale'), GRACE_MS);
    this.#report('connecting');
  }

  // After sleep, or a change of network, a socket may be dead without having been closed.
  #resume({ type, persisted }) {
    if (type === 'offline') return this.#lost(ABNORMAL);
    if (persisted === false) return; // the page has just been loaded, and is connecting
    const quiet = Date.now() - this.#heardAt > OPENING_MS;
    if (document.hidden || !(quiet || type === 'online')) return;
    this.#lost(ABNORMAL);
    this.#connect();
  }

  #report(status) {
    this.status = status;
    this.#onMessage('status', {});
  }
}
