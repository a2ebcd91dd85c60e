const LANGUAGES = ['en', 'de'];

/** The language of the page; `?lang=` overrides the browser's. */
export const lang = [new URLSearchParams(location.search).get('lang'), navigator.language?.slice(0, 2)]
  .find((code) => LANGUAGES.includes(code)) ?? 'en';

const words = { ...(await import(`./words/${lang}.js`)).words };

/** Add the texts of `js/<folder>/<language>.js`, to those of the same group. */
export async function learn(folder) {
  for (const [key, word] of Object.entries((await import(`../${folder}/${lang}.js`)).words)) {
    words[key] = word.constructor === Object ? { ...words[key], ...word } : word;
  }
}

/**
 * Look a text up by its key (`head.done`); further arguments are filled in.
 * @returns {string} empty for an unknown key
 */
export function t(key, ...args) {
  const word = key.split('.').reduce(memberOf, words);
  return typeof word === 'function' ? word(...args) : word ?? '';
}

// Its own members only: a part of a key may come from an order, and be the name of a method that everything has.
const memberOf = (found, part) => (Object.hasOwn(Object(found), part) ? found[part] : undefined);

/** Call the bar by its title, if it has one, instead of by the name that all bars have. */
export function showTitle({ title }) {
  if (!title) return;
  words.brand = title;
  document.getElementById('brand').textContent = title;
}

/**
 * Translate the English texts in the page's HTML; `data-t` and `data-label` name their keys. All that a page starts
 * with is there by then, and reload.js is told so.
 */
export function translatePage() {
  document.documentElement.lang = lang;
  document.documentElement.dataset.started = true;
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll('[data-label]')) node.setAttribute('aria-label', t(node.dataset.label));
}
