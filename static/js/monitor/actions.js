import { call } from '../shared/http.js';
import { bearer, tokenOf } from '../shared/token.js';

const job = (act) => ({ id }) => `jobs/${encodeURIComponent(id)}/${act}`;

export const PRIORITIES = [0, 1, 2, 3, 4, 5, 6, 7];
/** The priority of an order without one. */
export const USUAL_PRIORITY = 3;

/**
 * What an operator can do, to which other views may add: `path` is its address under operator/, `undo` the action that reverses it,
 * `asks` whether to ask for confirmation. What only resumes work needs none. `isUnsigned`: neither a
 * reason nor a name is kept of it.
 */
export const ACTIONS = {
  pause: { path: () => 'pause', undo: 'resume', asks: true },
  resume: { path: () => 'resume', undo: 'pause' },
  cancel: { path: job('cancel'), asks: true },
  /** The same for an order that a robot makes. */
  stop: { path: job('cancel'), asks: true },
  back: { path: job('put-back'), asks: true },
  first: { path: job('first'), asks: true },
  priority: { path: job('priority'), undo: 'priority', asks: true },
  aside: { path: () => 'workers/aside', undo: 'bring', asks: true },
  bring: { path: () => 'workers/back', undo: 'aside' },
  drop: { path: () => 'workers/drop', asks: true },
};

/**
 * Carry out an action, and say which it was: whether an order was waiting is only known by then.
 * @param {string} name one of ACTIONS
 * @param {{id?: string, callback?: string, destination?: string}} target
 * @param {{why: string, who: string, priority?: number}} answer
 * @returns {Promise<string>} one of ACTIONS; throws a Problem if the service refuses or cannot be reached
 */
export async function perform(name, target, { why, who, priority }) {
  const headers = { 'Content-Type': 'application/json', ...bearer(tokenOf('operator-token')), ...signed(who) };
  const body = JSON.stringify({ callback: target.callback, priority, reason: why.trim() || undefined });
  const { status } = await call(`operator/${ACTIONS[name].path(target)}`, { method: 'POST', headers, body });
  if (status === 202) return 'stop';
  return name === 'stop' ? 'cancel' : name;
}

// Headers are ASCII only: accents are stripped, other letters dropped.
function signed(who) {
  const name = who.normalize('NFKD').replace(/[^\x20-\x7e]/g, '').trim();
  return name ? { 'X-Operator': name } : {};
}
