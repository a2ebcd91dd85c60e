// Private windows may refuse localStorage; the page then remembers for as long as it is open.
const memory = new Map();

/** What was kept under a key, or the fallback. */
export function recall(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? memory.get(key) ?? fallback;
  } catch {
    return memory.get(key) ?? fallback;
  }
}

/** Keep a value. */
export function keep(key, value) {
  memory.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch { /* kept in memory */ }
}
