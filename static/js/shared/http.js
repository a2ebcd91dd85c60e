import { service } from './service_url.js';

const TIMEOUT_MS = 15_000;
const MAY_PASS = [0, 408, 409, 425, 429];

/** The service answered with an error (`status`), or could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, detail = '', retryAfter_s = 0) {
    super(detail);
    this.status = status;
    this.retryAfter_s = retryAfter_s;
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return MAY_PASS.includes(this.status) || this.status >= 500;
  }
}

/** Send a request to the service; throws a Problem unless it succeeds. */
export async function call(path, options) {
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
