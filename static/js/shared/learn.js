import { lang, words } from './i18n.js';

/** Add the texts of `js/<folder>/<language>.js`; a group of them is added to the group that is there. */
export async function learn(folder) {
  const more = (await import(`../${folder}/${lang}.js`)).words;
  for (const [key, word] of Object.entries(more)) {
    words[key] = word.constructor === Object ? { ...words[key], ...word } : word;
  }
}
