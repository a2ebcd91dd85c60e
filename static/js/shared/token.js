import { keyOf } from './service_url.js';

// Private windows may refuse sessionStorage; the token then lasts until the page is left.
const memory = new Map();

/**
 * Take the token (`?token=`) out of the page's address, where others could see it or share it by
 * accident, and keep it for this bar, for as long as this tab is open.
 * @param {string} name what the token is for
 */
export function takeToken(name) {
  const url = new URL(location);
  const token = url.searchParams.get('token');
  if (token === null) return;
  url.searchParams.delete('token');
  history.replaceState(history.state, '', url);
  keepToken(name, token);
}

/** The token that was kept, or an empty string. */
export function tokenOf(name) {
  try {
    return sessionStorage.getItem(keyOf(name)) ?? memory.get(name) ?? '';
  } catch {
    return memory.get(name) ?? '';
  }
}

/** Keep a token of this bar, or of the one at `base`, for this tab; an empty one forgets it. */
export function keepToken(name, token, base) {
  memory.set(name, token);
  try {
    sessionStorage.setItem(keyOf(name, base), token);
  } catch { /* kept in memory */ }
}

/** The header for a token; none for an empty one. */
export const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
