import { call } from '../shared/http.js';
import { t } from '../shared/i18n.js';
import { JobWorker } from '../shared/job_worker.js';
import { signal } from '../shared/signal.js';
import { bearer, keepToken, tokenOf } from '../shared/token.js';

/** How often an offer that is not accepted yet is looked at: the service does not say when its time is over. */
const LOOK_MS = 3_000;
const MAX_WORKER_CHARS = 100;

/**
 * A person's time behind the bar: gets orders one by one, and reports what the person does with them.
 *
 * `phase` is one of `waiting`, `offered`, `accepting`, `making`, `reporting`, `missed` (an offer was not accepted in
 * time: the person may be away) and `lost` (the order is not theirs any more). Each except `waiting` has an
 * `order`. After a reload the shift resumes: its session, and which order was accepted, are kept in this tab.
 */
export class Shift {
  phase = 'waiting';
  /** The order that is offered or made: `{id, ticket, data}`. */
  order = null;
  /** What became of the order before, if that is worth a word. */
  notice = '';
  percent = null;
  isStopping = false;
  #name;
  #token = tokenOf('worker-token');
  #worker;
  #onChange;
  /** Whether to sound at a new order. */
  #isLoud;
  #answer = () => {};
  #finish = () => {};

  /**
   * @param {{name: string, drinks: string[]}} choice
   * @param {() => boolean} isLoud whether to make a sound at a new order
   * @param {() => void} onChange
   */
  constructor({ name, drinks }, isLoud, onChange) {
    this.#name = name;
    this.#isLoud = isLoud;
    this.#onChange = onChange;
    this.#worker = new JobWorker({
      name: workerName(name),
      label: name,
      match: drinks.length ? { drink: drinks } : undefined,
      token: this.#token,
      session: tokenOf('worker-session'),
      confirm: (offer, gone) => this.#confirm(offer, gone),
      onMissed: (offer) => this.#missed(offer),
      onChange: () => this.#changed(),
    });
  }

  /** The status of the connection. */
  get link() {
    return this.#worker.status;
  }

  /** Whether the customer wants to cancel the order that is being made. */
  get isCancelling() {
    return this.phase === 'making' && Boolean(this.order.isCancelling);
  }

  /** Work until `stop`. Throws a Problem if that is pointless. */
  async run() {
    for await (const job of this.#worker) await this.#make(job);
    this.forget();
  }

  /** Finish: at once, or after the order in hand. */
  stop() {
    this.isStopping = true;
    this.#worker.stop();
    if (['missed', 'lost'].includes(this.phase)) this.goOn();
  }

  /** Let the next page of this tab start afresh. */
  forget() {
    keepToken('worker-session', '');
    keepToken('worker-order', '');
  }

  accept() {
    keepToken('worker-order', this.order.receipt);
    this.#show('accepting');
    this.#answer(true);
  }

  /** Come back after an order was missed, or lost. */
  goOn() {
    keepToken('worker-order', '');
    this.#show('waiting', null);
    this.#answer(false);
    this.#finish();
  }

  /** Say how far it is; the last word counts. */
  say(percent) {
    this.percent = percent;
    this.order.progress(percent).catch(() => { /* `run` throws it */ });
    this.#onChange();
  }

  ready() {
    return this.#report((job) => job.done({ by: this.#name }));
  }

  /** @param {string} reason @param {{retry?: boolean, cancelled?: boolean}} how */
  cannot(reason, how) {
    return this.#report((job) => job.fail(reason, how));
  }

  async #report(send) {
    if (this.phase !== 'making') return; // it was lost while the person was asked
    const job = this.order;
    this.#show('reporting');
    const isTaken = await send(job).catch(() => true); // `run` throws it
    this.notice = isTaken ? '' : t('notTaken', job.ticket);
    keepToken('worker-order', '');
    this.#show('waiting', null);
    this.#finish();
  }

  #make(job) {
    this.percent = null;
    this.notice = '';
    this.#show('making', job);
    return new Promise((resolve) => { this.#finish = resolve; });
  }

  async #confirm(offer, gone) {
    // By the receipt: when the order comes once more, after somebody else had it, nobody may be there.
    if (tokenOf('worker-order') === offer.receipt) return true;
    this.notice = '';
    this.#show('offered', offer);
    if (this.#isLoud()) signal(t('headline.offered'));
    const looking = setInterval(() => this.#look(offer), LOOK_MS);
    gone.addEventListener('abort', () => this.#calledOff(offer));
    const isAccepted = await new Promise((resolve) => { this.#answer = resolve; });
    clearInterval(looking);
    return isAccepted;
  }

  #calledOff(offer) {
    if (this.order?.id !== offer.id || !['offered', 'accepting'].includes(this.phase)) return;
    this.#show('waiting', null);
    this.#answer(false);
  }

  #missed({ ticket }) {
    keepToken('worker-order', '');
    this.notice = t('tooLate', ticket);
    this.#show('waiting', null);
  }

  async #look({ id, receipt }) {
    if (this.phase !== 'offered') return;
    const headers = { 'Job-Receipt': receipt, ...bearer(this.#token) };
    const { status } = await call(`jobs/${id}/cancelling`, { headers }).catch((problem) => problem);
    if ([404, 409].includes(status) && this.phase === 'offered' && this.order.id === id) this.#show('missed');
  }

  #changed() {
    keepToken('worker-session', this.#worker.session);
    if (this.phase === 'making' && this.order.isLost) this.#show('lost');
    else this.#onChange();
    if (this.link !== 'refused') return;
    this.#answer(false);
    this.#finish();
  }

  #show(phase, order = this.order) {
    this.phase = phase;
    this.order = order;
    this.#onChange();
  }
}

/** Name a worker in visible ASCII: one name for each person's name, also where that is long. */
function workerName(name) {
  const encoded = encodeURIComponent(name);
  if (encoded.length <= MAX_WORKER_CHARS) return encoded;
  const hash = fnv1a(encoded).toString(16);
  return `${encoded.slice(0, MAX_WORKER_CHARS - hash.length - 1)}~${hash}`;
}

/** FNV-1a of 64 bits; a digest of the browser's own needs https. */
function fnv1a(text) {
  return [...text].reduce(
    (hash, char) => BigInt.asUintN(64, (hash ^ BigInt(char.charCodeAt(0))) * 0x100000001b3n), 0xcbf29ce484222325n,
  );
}
