import { serviceUrl } from './service_url.js';

const TIMEOUT_MS = 15_000;
// 0: not reached; 408: the request came too slowly; 409: the first try with this key is not answered yet;
// 425: too early, from a proxy; 429: too many orders.
const TEMPORARY = [0, 408, 409, 425, 429];

/** The service answered with an error (`status`), or could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, detail = '', retryAfterS = 0) {
    super(detail);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return isTemporary(this.status);
  }
}

/** Whether a request that was answered with this status may succeed later. */
export const isTemporary = (status) => TEMPORARY.includes(status) || status >= 500;

/** Whether an answer is a proxy's that finds no service, as while that is restarted. */
export const isFromProxy = ({ status, headers }) => (
  status === 404 && !headers.get('Content-Type')?.startsWith('application/problem+json')
);

// A captive portal answers everything with a page of its own.
const isPage = ({ headers }) => headers.get('Content-Type')?.startsWith('text/html');

/**
 * Send a request to the service.
 * @param {string} path relative to the service, e.g. `submit-job`
 * @param {RequestInit} [options]
 * @param {number} [timeout_ms]
 * @returns {Promise<Response>} if its status is 2xx; throws a Problem otherwise
 */
export async function call(path, options, timeout_ms = TIMEOUT_MS) {
  const answer = await fetchFromService(path, options, timeout_ms);
  if (answer.ok && !isPage(answer)) return answer;
  if (answer.ok || isFromProxy(answer)) throw new Problem(0);
  const { detail, title } = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, String(detail ?? title ?? ''), Number(answer.headers.get('Retry-After')) || 0);
}

async function fetchFromService(path, options, timeout_ms) {
  const signal = AbortSignal.timeout(timeout_ms);
  try {
    return await fetch(serviceUrl(path), { ...options, signal });
  } catch { // fetch throws for no network and for the time-out alike
    throw new Problem(0);
  }
}
