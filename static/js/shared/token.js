// A private window may refuse sessionStorage; the token then lasts until the page is left.
const memory = new Map();

/**
 * The token of the page's address (`?token=`). It is taken out of the address bar at once, where
 * others could read or share it, and lasts as long as this tab.
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

/** The token that was kept, or an empty text. */
export function tokenOf(name) {
  try {
    return sessionStorage.getItem(name) ?? memory.get(name) ?? '';
  } catch {
    return memory.get(name) ?? '';
  }
}

/** Keep a token, or forget it where it is empty. */
export function keepToken(name, token) {
  memory.set(name, token);
  try {
    sessionStorage.setItem(name, token);
  } catch { /* kept in memory */ }
}

/** The header that shows a token, where there is one. */
export const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
