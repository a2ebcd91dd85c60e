import { call, Problem } from '../shared/http.js';
import { bearer, tokenOf } from '../shared/token.js';

/**
 * Submit an order. Repeating it with the same key never makes a second drink.
 * @param {import('./order_store.js').Order} order
 * @returns {Promise<string>} the job's secret id
 */
export async function submit({ key, drink, name, logo }) {
  const headers = {
    'Content-Type': 'application/json', 'Idempotency-Key': `"${key}"`, ...bearer(tokenOf('submit-token')),
  };
  const body = JSON.stringify({ drink, name, logo });
  const answer = await call('submit-job', { method: 'POST', headers, body });
  const id = answer.headers.get('Location')?.split('/').pop();
  // Somebody else's answer counts as "not reached", so that the order is sent again.
  if (!id) throw new Problem(0);
  return id;
}

/**
 * Cancel an order.
 * @param {string} id the job's secret id
 * @returns {Promise<boolean>} false if its robot is asked to stop; throws a Problem, 409 if it is too late
 */
export async function cancel(id) {
  const answer = await call(`jobs/${encodeURIComponent(id)}`, { method: 'DELETE' });
  return answer.status !== 202;
}
