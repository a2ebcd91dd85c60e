const LANGUAGES = ['en', 'de'];

/** The language of the page: `?lang=` overrides the browser. */
export const lang = [new URLSearchParams(location.search).get('lang'), navigator.language?.slice(0, 2)]
  .find((code) => LANGUAGES.includes(code)) ?? 'en';

const words = { ...(await import(`./words/${lang}.js`)).words };

/** Learn further texts: those in `js/<folder>/<language>.js`. */
export async function learn(folder) {
  Object.assign(words, (await import(`../${folder}/${lang}.js`)).words);
}

/**
 * A text by its key (`head.done`), with what it needs to know.
 * @returns {string} empty for a key that does not exist
 */
export function t(key, ...args) {
  const word = key.split('.').reduce((found, part) => found?.[part], words) ?? '';
  return typeof word === 'function' ? word(...args) : word;
}

/** Translate what the page's HTML says in English: `data-t` names the text's key. */
export function translatePage() {
  document.documentElement.lang = lang;
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll('[data-label]')) node.setAttribute('aria-label', t(node.dataset.label));
}
