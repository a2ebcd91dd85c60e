const TROUBLE = ['job.doubted', 'job.blamed', 'job.failed', 'worker.set_aside'];
const RANK = ['in doubt', 'assigned', 'waiting', 'aside'];
const LONGEST_CALLBACK = 40;

const valuesOf = (pairs) => pairs.map(([, value]) => value);
const byPlace = (a, b) => (a.place ?? a.n) - (b.place ?? b.n);
const newestFirst = (a, b) => b.t - a.t || b.n - a.n;

/**
 * The monitor view, sorted the way people read it.
 * @param {Object<string, object>} entries
 */
export function read(entries) {
  const pairs = Object.entries(entries);
  const of = (kind) => pairs.filter(([key]) => key.startsWith(kind));
  const workers = new Map(of('worker/').map(([key, worker]) => [key.slice('worker/'.length), worker]));
  return {
    bar: entries.bar ?? {},
    shelves: shelvesOf(valuesOf(of('order/'))),
    workers,
    robots: [...workers].sort(([, a], [, b]) => RANK.indexOf(a.state) - RANK.indexOf(b.state) || a.since - b.since),
    log: valuesOf(of('log/')).sort((a, b) => b.n - a.n),
    minutes: valuesOf(of('minute/')).sort((a, b) => a.t - b.t),
  };
}

// Failed orders have a shelf of their own: somebody has to decide what becomes of them.
function shelvesOf(orders) {
  const inState = (...states) => orders.filter(({ state }) => states.includes(state));
  return {
    waiting: inState('waiting').sort(byPlace),
    assigned: inState('assigned').sort((a, b) => a.n - b.n),
    failed: inState('failed').sort(newestFirst),
    finished: inState('done', 'cancelled').sort(newestFirst),
  };
}

/** How a worker is called: its label and the number of its instance, else the end of its callback. */
export function workerName(callback, label) {
  const [, instance = ''] = /\/(\d+)\/callbacks\//.exec(callback) ?? [];
  return label ? `${label} ${instance}`.trim() : callback.replace(/^https?:\/\//, '').slice(-LONGEST_CALLBACK);
}

/** How many robots do what. */
export function countRobots(workers) {
  const count = (...states) => [...workers.values()].filter(({ state }) => states.includes(state)).length;
  return { idle: count('waiting'), busy: count('assigned', 'in doubt'), aside: count('aside'), doubt: count('in doubt') };
}

/** Whether an event is one that somebody may have to look into. */
export const isTrouble = ({ kind }) => TROUBLE.includes(kind);
