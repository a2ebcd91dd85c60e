import { keyOf } from './service_url.js';

// Private windows may refuse localStorage, and it may be full. Such values last for as long as the page is open.
const memory = new Map();

/** Read the value that this bar keeps under a name, or the fallback. */
export function recall(name, fallback) {
  const key = keyOf(name);
  if (memory.has(key)) return memory.get(key); // what is stored is older
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keep a value of this bar under a name. */
export function keep(name, value) {
  const key = keyOf(name);
  try {
    localStorage.setItem(key, JSON.stringify(value));
    memory.delete(key);
  } catch {
    memory.set(key, value);
  }
}
