import { serviceUrl } from './service_url.js';
import { lang } from './i18n.js';

const TIMEOUT_MS = 10_000;
const MAX_NAME_CHARS = 60;
/** The picture of a drink that has none. */
export const NO_PICTURE = 'img/drinks/drink.svg';

/** @typedef {{id: string, name: string, description?: string, image?: string, available?: boolean}} Drink */

const drink = (id, name, en, de) => ({ id, name, description: { en, de }, image: `img/drinks/${id}.svg` });

/** The built-in menu, for when the service cannot be reached. */
export const BUILT_IN = [
  drink('mojito', 'Mojito', 'Rum, mint, lime', 'Rum, Minze, Limette'),
  drink('cuba-libre', 'Cuba Libre', 'Rum, cola, lime', 'Rum, Cola, Limette'),
  drink('gin-tonic', 'Gin Tonic', 'Gin, tonic, juniper', 'Gin, Tonic, Wacholder'),
  drink('margarita', 'Margarita', 'Tequila, lime, salt', 'Tequila, Limette, Salz'),
  drink('virgin-colada', 'Virgin Colada', 'No alcohol', 'Ohne Alkohol'),
  drink('lemonade', { en: 'Lemonade', de: 'Limonade' }, 'No alcohol', 'Ohne Alkohol'),
];

/** @type {Drink[]} */
let menu = BUILT_IN.map(translated);

/**
 * Load the menu.
 * @param {string} [wanted] a drink that must be on it, from the page's address
 * @returns {Promise<Drink[]>}
 */
export async function loadMenu(wanted) {
  menu = await fetchMenu().catch(() => menu);
  const extra = wanted && !find(wanted) ? [{ id: wanted, name: titled(wanted).slice(0, MAX_NAME_CHARS) }] : [];
  menu = [...extra, ...menu];
  return menu;
}

/**
 * Find a drink on the menu by its id, or else its name, in any case.
 * @returns {Drink|undefined}
 */
export function find(text) {
  const by = (key) => menu.find((one) => one[key].toLowerCase() === String(text).toLowerCase());
  return by('id') ?? by('name');
}

/** The name to show for a drink, on the menu or not. */
export const drinkName = (text) => find(text)?.name ?? text ?? '';

/** The picture of a drink. */
export const drinkImage = (text) => find(text)?.image ?? NO_PICTURE;

async function fetchMenu() {
  const answer = await fetch(serviceUrl('menu'), { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw answer;
  return (await answer.json()).drinks.map(translated);
}

// A menu gives a text once, or once for each language.
function translated({ name, description, ...rest }) {
  const read = (text) => (typeof text === 'object' ? text[lang] ?? text.en : text);
  return { ...rest, name: read(name), description: read(description) };
}

const titled = (text) => text.replace(/(^|[\s_-])(\p{L})/gu, (_, gap, letter) => (gap && ' ') + letter.toUpperCase());
