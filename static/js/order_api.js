import { service } from './base.js';

const TIMEOUT_MS = 15_000;
const MAY_PASS = [0, 408, 409, 425, 429];

/** The bar said no (`status`), or could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, detail = '', retryAfter_s = 0) {
    super(detail);
    this.status = status;
    this.retryAfter_s = retryAfter_s;
  }

  /** The same request may succeed later. */
  get passes() {
    return MAY_PASS.includes(this.status) || this.status >= 500;
  }
}

/**
 * Hand an order in. Repeating it with the same key never makes a second drink.
 * @param {import('./order_store.js').Order} order
 * @returns {Promise<string>} the job's secret id
 */
export async function submit({ key, drink, name, logo }) {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': `"${key}"` };
  const body = JSON.stringify({ drink, name, logo });
  const answer = await call('submit-job', { method: 'POST', headers, body });
  const id = answer.headers.get('Location')?.split('/').pop();
  // The login page of a venue's network answers 200 to anything.
  if (!id) throw new Problem(0);
  return id;
}

/** Cancel an order that still waits; a Problem of 409 says that it is too late. */
export function cancel(id) {
  return call(`jobs/${encodeURIComponent(id)}`, { method: 'DELETE' });
}

async function call(path, options) {
  const answer = await reach(path, options);
  if (answer.ok) return answer;
  const { detail, title } = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, String(detail ?? title ?? ''), Number(answer.headers.get('Retry-After')) || 0);
}

async function reach(path, options) {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await fetch(service(path), { ...options, signal });
  } catch {
    throw new Problem(0);
  }
}
