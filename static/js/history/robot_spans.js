/** What a worker does after each kind of event of its own. */
const AFTER = { 'worker.registered': 'waiting', 'worker.came_back': 'waiting', 'worker.set_aside': 'aside' };
const LEAVES = ['worker.used', 'worker.dropped'];
const ENDS = ['job.done', 'job.failed', 'job.returned', 'job.cancelled'];
const DOUBTS = ['job.doubted', 'job.unconsumed'];

/**
 * @typedef {{what: 'order'|'waiting'|'aside', from: number, to: number, callback: string, reason: string,
 *   ticket: ?number, end: string, isDoubted: boolean}} Span
 *   what a robot did, in Unix seconds; `end` is the event that ended an order, empty while it lasts
 */

/**
 * Fold a robot's events into what it did when, by the rules of the service's statistics.
 * @param {object[]} events oldest first
 * @param {number} now Unix seconds
 * @returns {Span[]} by their beginning
 */
export function spansOf(events, now) {
  const spans = [];
  /** What each callback is doing. */
  const open = new Map();
  /** The callbacks that wait again when they lose an order. */
  const queued = new Set();

  const end = (callback, t) => {
    const span = open.get(callback);
    if (span) span.to = t;
    open.delete(callback);
    return span;
  };
  const begin = (what, { callback, t, reason = '', ticket = null }) => {
    end(callback, t);
    const span = { what, from: t, to: now, callback, reason, ticket, end: '', isDoubted: false };
    open.set(callback, span);
    spans.push(span);
  };
  const holderOf = (n) => [...open.values()].find(({ ticket }) => n && ticket === n);

  for (const event of events) {
    const { kind, callback, ticket, t, reason = '' } = event;
    const held = holderOf(ticket);
    if (kind === 'job.assigned') {
      if (open.get(callback)?.ticket !== ticket) begin('order', event);
    } else if (ENDS.includes(kind) && held) {
      Object.assign(end(held.callback, t), { end: kind, reason });
      if (queued.has(held.callback)) begin('waiting', { callback: held.callback, t });
    } else if (DOUBTS.includes(kind) && held) {
      held.isDoubted = true;
    } else if (AFTER[kind]) {
      queued.add(callback);
      begin(AFTER[kind], event);
    } else if (LEAVES.includes(kind)) {
      queued.delete(callback);
      if (open.get(callback)?.what !== 'order') end(callback, t);
    }
  }
  return spans;
}

/** The spans within a day, cut at its ends; those without a duration are left out, unless it is an order. */
export function within([begin, end], spans) {
  return spans
    .map((span) => ({ ...span, from: Math.max(span.from, begin), to: Math.min(span.to, end) }))
    .filter(({ what, from, to }) => to > from || (what === 'order' && to === from));
}

/**
 * Divide spans into lanes in which none overlap: robots of one name, and a callback that waits while
 * another one works.
 * @returns {Span[][]}
 */
export function lanesOf(spans) {
  const lanes = [];
  const groups = new Map(spans.map(({ callback }) => [callback, []]));
  for (const span of spans) groups.get(span.callback).push(span);
  for (const all of groups.values()) {
    const free = lanes.find((lane) => lane.at(-1).to <= all[0].from);
    if (free) free.push(...all);
    else lanes.push(all);
  }
  return lanes;
}

/** The sum of the seconds of some spans. */
export const lengthOf = (spans) => spans.reduce((sum, { from, to }) => sum + to - from, 0);
