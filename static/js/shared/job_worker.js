import { delay } from './connection.js';
import { WorkChannel } from './work_channel.js';

/** How often a worker makes sure that it still waits, and that its connection lives: a page sees no pings. */
const PROBE_MS = 5_000;
/** How many times in a lease the service hears that the worker is alive. */
const LEASE_SHARE = 3;
/** The longest reason that the service takes. */
const MAX_LINE_CHARS = 200;

/**
 * A worker of the service, at a websocket. It needs no address at which it could be called.
 *
 *     for await (const job of new JobWorker({ name: 'tablet-1' })) {
 *       await job.progress(40, 'adding gin');
 *       await job.done();
 *     }
 *
 * After a lost connection, or a restart of the service, it continues where it was. The loop ends after `stop()`; it throws
 * a Problem where going on is pointless: of status 401 for a wrong token, 409 if another worker of this name replaced it.
 */
export class JobWorker {
  #channel;
  #registration;
  #confirm;
  #onMissed;
  #onChange;
  #isRegistered = false;
  /** What is offered: the message, what calls it off, whether the job is to be cancelled, whether it was asked for. */
  #offer = null;
  #job = null;
  #isStopping = false;
  #change = newChange();

  /**
   * @param {object} options
   * @param {string} options.name its own: a second worker of that name replaces the first one
   * @param {string} [options.label] what people see
   * @param {Object<string, string[]>} [options.match] which jobs it takes: `{drink: ['mojito']}`
   * @param {Object<string, string[]>} [options.not] which ones it does not take
   * @param {string} [options.token] the worker token
   * @param {string} [options.session] the session to go on with, as after a reload
   * @param {string|URL} [options.base] the URL of another topic to work for
   * @param {(offer: object, gone: AbortSignal) => Promise<boolean>} [options.confirm] whether to accept an offer
   * @param {(offer: object) => void} [options.onMissed] called when an offer was accepted too late
   * @param {() => void} [options.onChange] called after every change of the connection or the job
   */
  constructor({
    name, label, match, not, token = '', session = '', base = '',
    confirm = async () => true, onMissed = () => {}, onChange = () => {},
  }) {
    this.#registration = { worker: name, label, match, not };
    this.#channel = new WorkChannel({ token, session, base }, (kind, members) => this.#take(kind, members));
    this.#confirm = confirm;
    this.#onMissed = onMissed;
    this.#onChange = onChange;
  }

  /** That of the WorkChannel. */
  get status() {
    return this.#channel.status;
  }

  /** The secret with which another page goes on. */
  get session() {
    return this.#channel.session;
  }

  /** End the loop: at once while it waits, else after the job in hand. */
  stop() {
    this.#isStopping = true;
    this.#offer?.gone.abort();
    this.changed();
  }

  get #inHand() {
    return this.#job?.isOver ? null : this.#job;
  }

  async *[Symbol.asyncIterator]() {
    this.#channel.open();
    try {
      for (let job; (job = await this.#nextJob());) yield job;
    } finally {
      await this.#leave();
      this.#channel.close(this.#channel.problem ? 'refused' : 'closed');
    }
  }

  /** Send a message that may arrive twice, until there is an answer that would be the same the next time. */
  async ask(kind, members) {
    for (let n = 0; ; n++) {
      try {
        return await this.#channel.ask(kind, members);
      } catch (problem) {
        if (!this.#isTemporary(problem)) throw problem;
        if (this.status === 'live') await pause(delay(n));
        else await this.#change.promise;
      }
    }
  }

  /** Go on with what waits for a change, and tell the page. */
  changed() {
    const { resolve } = this.#change;
    this.#change = newChange();
    resolve();
    this.#onChange();
  }

  async #nextJob() {
    for (let offer; (offer = await this.#nextOffer());) {
      const isConfirmed = !offer.isCancelling && await this.#confirm(offer.said, offer.gone.signal);
      if (!isConfirmed && !offer.isCancelling) offer.gone.abort();
      else if (await this.#accept(offer, isConfirmed)) return this.#begin(offer);
    }
    return null;
  }

  #begin({ said, isCancelling }) {
    this.#offer = null;
    this.#job = new WorkerJob(this, said);
    this.#job.isCancelling = isCancelling;
    this.#job.keepLease();
    return this.#job;
  }

  /** Register, and again where that is needed, until there is an offer. */
  async #nextOffer() {
    this.#job = null;
    for (let n = 0; !this.#isStopping;) {
      if (this.#channel.problem) throw this.#channel.problem;
      // Whether one that is to be cancelled is still its own, accepting it tells.
      if (this.#offer && (this.#offer.isCancelling || !this.#offer.gone.signal.aborted)) return this.#offer;
      if (this.status !== 'live') await this.#change.promise;
      else if (!this.#isRegistered && !await this.#register()) await this.#changesWithin(delay(n++));
      else if (!await this.#changesWithin(PROBE_MS)) this.#isRegistered = false;
    }
    return null;
  }

  async #register() {
    try {
      await this.#channel.ask('register', this.#registration);
      this.#isRegistered = true;
    } catch (problem) {
      if (problem !== this.#channel.problem && problem.status === 409) this.#isRegistered = true; // or has an offer
      else if (!this.#isTemporary(problem)) throw problem;
    }
    return this.#isRegistered;
  }

  async #accept(offer, isConfirmed) {
    const { said, gone } = offer;
    offer.isAskedFor = true;
    try {
      await this.#channel.ask('accept', { job: said.id, receipt: said.receipt });
      return true;
    } catch (problem) {
      if (problem === this.#channel.problem) throw problem;
      if (this.#isTemporary(problem)) return await pause(delay(0)); // after a lost connection it is offered again
      gone.abort();
      if (this.#offer === offer) this.#offer = null;
      if (isConfirmed) this.#onMissed(said);
      return false;
    }
  }

  async #leave() {
    if (this.status !== 'live') return;
    await Promise.race([this.#giveUp(), pause(1_000)]).catch(() => { /* it leaves all the same */ });
  }

  /** Hand in the job, or leave the line; an offer that was not asked for goes back by that, as one that nobody tried. */
  async #giveUp() {
    const offer = this.#offer;
    const job = this.#inHand ?? (offer?.isAskedFor ? new WorkerJob(this, offer.said) : null);
    await job?.fail('its worker stopped', { retry: true });
    if (this.#isRegistered || (offer && !job)) await this.#channel.ask('withdraw', {});
  }

  #take(kind, members) {
    const job = this.#inHand;
    const offer = this.#offer;
    if (kind === 'welcome') {
      this.#isRegistered = members.resumed && !this.#job;
      offer?.gone.abort();
      this.#offer = null;
    } else if (kind === 'job' && !job) {
      this.#isRegistered = false;
      if (offer?.said.id !== members.id) offer?.gone.abort();
      this.#offer = { said: members, gone: new AbortController(), isCancelling: false, isAskedFor: false };
    } else if (kind === 'cancel' && job?.id === members.job) {
      job.isCancelling = true;
    } else if (kind === 'cancel' && offer?.said.id === members.job) {
      offer.isCancelling = true;
      offer.gone.abort();
    } else if (kind === 'error' && job && job.id === members.job?.id) {
      job.isLost = true;
    }
    if (this.status !== 'live') this.#offer?.gone.abort();
    this.changed();
  }

  #isTemporary({ status }) {
    return !this.#channel.problem && (status === 0 || status >= 500 || [408, 425, 429].includes(status));
  }

  async #changesWithin(ms) {
    const { promise } = this.#change;
    return Promise.race([promise.then(() => true), pause(ms)]);
  }
}

/**
 * A job that was accepted, and has to be reported on: `done` or `fail`. Its lease is kept up until then.
 *
 * Reports are repeated until the service has them. They resolve with whether they were taken: not if the job is not
 * this worker's any more.
 */
class WorkerJob {
  isOver = false;
  /** Whether it is to be cancelled: then `fail` with `cancelled`, or `done` if it is too late for that. */
  isCancelling = false;
  /** Whether it is not this worker's any more. */
  isLost = false;
  #worker;
  #receipt;
  #leaseMs;
  #timer;

  constructor(worker, { id, ticket, data, submitted_at: submittedAt, receipt, lease_s: leaseS }) {
    Object.assign(this, { id, ticket, data, submittedAt });
    this.#worker = worker;
    this.#receipt = receipt;
    this.#leaseMs = leaseS * 1000;
  }

  /** Say how far it is: 0 to 100 percent, and a text for the customer. It becomes one line of at most 200 characters. */
  progress(percent, text) {
    return this.#report('progress', { percent, text: text === undefined ? text : oneLine(text) });
  }

  /** Report that it is done; the result is any JSON, or left out. */
  done(result) {
    return this.#end('done', { result });
  }

  /**
   * Report that it failed; another worker may try with `retry`, none if it was `cancelled`. The reason may be any text,
   * such as that of an error; it becomes one line of at most 200 characters.
   */
  fail(reason, { retry = false, cancelled = false } = {}) {
    return this.#end('fail', { reason: oneLine(reason), retry, cancelled });
  }

  /** Keep the lease up until the job is over, or lost. */
  keepLease() {
    this.#timer = setTimeout(async () => {
      await this.#report('progress', {}).catch(() => { /* the loop throws it */ });
      if (!this.isOver && !this.isLost) this.keepLease();
    }, this.#leaseMs / LEASE_SHARE);
  }

  async #end(kind, members) {
    clearTimeout(this.#timer);
    const isTaken = await this.#report(kind, members);
    this.isOver = true;
    return isTaken;
  }

  async #report(kind, members) {
    try {
      const { cancel } = await this.#worker.ask(kind, { job: this.id, receipt: this.#receipt, ...members });
      if (cancel && !this.isOver) this.isCancelling = true;
    } catch (problem) {
      if (this.#worker.status === 'refused' || ![404, 409].includes(problem.status)) throw problem;
      this.isLost = true;
    }
    this.#worker.changed();
    return !this.isLost;
  }
}

function oneLine(text) {
  const chars = [...String(text).replace(/[\p{C}\p{Z}]+/gu, ' ').trim()];
  return chars.length <= MAX_LINE_CHARS ? chars.join('') : `${chars.slice(0, MAX_LINE_CHARS - 1).join('')}…`;
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms, false); });

function newChange() {
  let resolve;
  const promise = new Promise((settle) => { resolve = settle; });
  return { promise, resolve };
}
