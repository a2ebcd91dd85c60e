import { keyOf } from './service_url.js';

// Private windows may refuse localStorage; values then last for as long as the page is open.
const memory = new Map();

/** Read the value that this bar keeps under a name, or the fallback. */
export function recall(name, fallback) {
  const key = keyOf(name);
  try {
    return JSON.parse(localStorage.getItem(key)) ?? memory.get(key) ?? fallback;
  } catch {
    return memory.get(key) ?? fallback;
  }
}

/** Keep a value of this bar under a name. */
export function keep(name, value) {
  const key = keyOf(name);
  memory.set(key, value);
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch { /* kept in memory */ }
}
