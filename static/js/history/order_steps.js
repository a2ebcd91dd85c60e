/** What an order does after each kind of event; after any other kind it goes on. */
const PHASE_AFTER = {
  'job.submitted': 'waiting', 'job.assigned': 'handing', 'job.confirmed': 'mixing', 'job.extended': 'mixing',
  'job.progressed': 'mixing',
  'job.doubted': 'doubt', 'job.unconsumed': 'doubt', 'job.returned': 'waiting',
  'job.done': 'done', 'job.failed': 'failed', 'job.cancelled': 'cancelled',
};
const OVER = ['done', 'failed', 'cancelled'];

/**
 * @typedef {{phase: string, lasted_s: number, isOpen: boolean, isEnd: boolean}} Rest
 *   what the order did until the next step, or does since the last one (`isOpen`); `isEnd`: it was
 *   over for good
 */

/**
 * Read an order's events as steps.
 * @param {object[]} events oldest first
 * @param {number} now Unix seconds
 * @returns {(object & Rest)[]}
 */
export function stepsOf(events, now) {
  let phase = '';
  const told = events.filter((event, i) => !isRepeated(event, events[i + 1]));
  const steps = told.map((event, i) => {
    phase = PHASE_AFTER[event.kind] ?? phase;
    const next = told[i + 1];
    return { ...event, phase, lasted_s: Math.max(0, (next?.t ?? now) - event.t), isOpen: !next };
  });
  const last = steps.findLastIndex((step) => !OVER.includes(step.phase));
  return steps.map((step, i) => ({ ...step, isEnd: i > last }));
}

// A robot may say with each percent how far it is: of reports in a row with the same text, the last one counts.
function isRepeated({ kind, reason = '' }, next) {
  return kind === 'job.progressed' && next?.kind === kind && (next.reason ?? '') === reason;
}

/** The sum of the seconds after each step; only of those with this phase, if one is given. */
export function timeIn(steps, phase = null) {
  return steps.filter((step) => !phase || step.phase === phase).reduce((sum, { lasted_s }) => sum + lasted_s, 0);
}

/** What an order did one after the other: steps in a row with the same phase are one. */
export function phasesOf(steps) {
  const phases = [];
  for (const { phase, lasted_s } of steps) {
    if (phases.at(-1)?.phase === phase) phases.at(-1).lasted_s += lasted_s;
    else phases.push({ phase, lasted_s });
  }
  return phases;
}
