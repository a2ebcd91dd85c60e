// Private windows may refuse localStorage; values then last for as long as the page is open.
const memory = new Map();

/** Read the value kept under a key, or the fallback. */
export function recall(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? memory.get(key) ?? fallback;
  } catch {
    return memory.get(key) ?? fallback;
  }
}

/** Keep a value under a key. */
export function keep(key, value) {
  memory.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch { /* kept in memory */ }
}
