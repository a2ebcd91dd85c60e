import { Problem, call } from '../shared/http.js';
import { bearer, tokenOf } from '../shared/token.js';

/**
 * Ask the service as the operator.
 * @param {string} path under operator/
 * @param {Object<string, string|number>} [query] empty arguments are left out
 * @param {number} [timeout_ms]
 * @returns {Promise<object>} throws a Problem if the service refuses or cannot be reached
 */
export async function askService(path, query = {}, timeout_ms = undefined) {
  const given = String(new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')));
  const headers = bearer(tokenOf('operator-token'));
  const answer = await call(`operator/${path}${given ? `?${given}` : ''}`, { headers }, timeout_ms);
  return answer.json().catch(() => { throw new Problem(0); });
}
