import { lang } from '../shared/i18n.js';
import { inLine } from '../shared/line.js';

const TROUBLE = ['job.doubted', 'job.unconsumed', 'job.report_refused', 'job.blamed', 'job.failed', 'worker.set_aside'];
const LONGEST_CALLBACK = 40;

const collator = new Intl.Collator(lang, { numeric: true });
const valuesOf = (pairs) => pairs.map(([, value]) => value);
const newestFirst = (a, b) => b.t - a.t || b.n - a.n;

/**
 * Sort the entries of the monitor view into what the page shows.
 * @param {Object<string, object>} entries
 * @returns `bar` the counts; `shelves` the orders by shelf; `workers` a Map by callback; `robots` its entries
 *   by label; `aheads` how many are ahead of each waiting order, where its position does not say it; `twins` the labels that several instances share; `log` newest first; `minutes` oldest first
 */
export function read(entries) {
  const pairs = Object.entries(entries);
  const of = (kind) => pairs.filter(([key]) => key.startsWith(kind));
  const workers = new Map(of('worker/').map(([key, worker]) => [key.slice('worker/'.length), worker]));
  const log = valuesOf(of('log/')).sort((a, b) => b.n - a.n);
  return {
    bar: entries.bar ?? {},
    shelves: shelvesOf(valuesOf(of('order/')), entries.line),
    aheads: entries.ahead?.counts ?? [],
    workers,
    robots: [...workers].sort(byLabel),
    twins: twinsOf(workers, log),
    log,
    minutes: valuesOf(of('minute/')).sort((a, b) => a.t - b.t),
  };
}

// Failed orders have a shelf of their own, since an operator has to decide about them.
function shelvesOf(orders, line) {
  const inState = (...states) => orders.filter(({ state }) => states.includes(state));
  return {
    waiting: inLine(inState('waiting'), line),
    assigned: inState('assigned').sort((a, b) => a.n - b.n),
    failed: inState('failed').sort(newestFirst),
    finished: inState('done', 'cancelled').sort(newestFirst),
  };
}

// Not by state: buttons must not move under the pointer when a robot's state changes.
function byLabel([callback, { label = '' }], [otherCallback, { label: otherLabel = '' }]) {
  return collator.compare(label, otherLabel) || collator.compare(callback, otherCallback);
}

/** The id of a worker that connects: its channel and its name. */
export const CONNECTED = /^(ws|poll):(.*)/s;

const instanceOf = (callback) => /\/(\d+)\/callbacks\//.exec(callback)?.[1] ?? CONNECTED.exec(callback)?.[2] ?? '';

/** The labels that several process instances share, including those in the log. */
function twinsOf(workers, log) {
  const first = new Map();
  const twins = new Set();
  const all = [...workers].map(([callback, { label }]) => [callback, label]);
  for (const [callback, label] of [...all, ...log.map(({ worker, label }) => [worker, label])]) {
    if (!label) continue;
    const instance = instanceOf(callback);
    if ((first.get(label) ?? instance) !== instance) twins.add(label);
    first.set(label, instance);
  }
  return twins;
}

/**
 * The name to show for a worker: its label, with the number of its instance where several share
 * that label; without a label the end of its callback.
 * @param {Set<string>} twins the labels that several instances share
 */
export function workerName(callback, label, twins) {
  if (!label) return callback.replace(/^https?:\/\//, '').slice(-LONGEST_CALLBACK);
  return twins.has(label) ? `${label} ${instanceOf(callback)}`.trim() : label;
}

/**
 * Count the robots by what they are doing.
 * @returns {{idle: number, busy: number, aside: number, doubt: number}} those in doubt are busy too
 */
export function countRobots(workers) {
  const count = (...states) => [...workers.values()].filter(({ state }) => states.includes(state)).length;
  return { idle: count('waiting', 'matching'), busy: count('assigned', 'in doubt'), aside: count('aside'), doubt: count('in doubt') };
}

/** Whether an event may need an operator's attention. */
export const isTrouble = ({ kind }) => TROUBLE.includes(kind);

/** Whether an event says nothing that others do not: a callback is used up with every delivery. */
export const isDull = ({ kind }) => kind === 'worker.used';
