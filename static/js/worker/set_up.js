import { $, el, say } from '../shared/dom.js';
import { drinkImage, NO_PICTURE } from '../shared/menu.js';
import { keep, recall } from '../shared/storage.js';
import { keepToken, tokenOf } from '../shared/token.js';

/** @typedef {{name: string, drinks: string[]}} Choice */

/** The choice that was made last on this device. @returns {Choice} */
const lastChoice = () => recall('worker', { name: '', drinks: [] });

/**
 * Ask who works here, and what they make.
 * @param {import('../shared/menu.js').Drink[]} menu
 * @param {{problem?: string, needsToken?: boolean}} why what was wrong with the last try
 * @returns {Promise<Choice>}
 */
export function askWhoWorks(menu, { problem = '', needsToken = false }) {
  const { name, drinks } = lastChoice();
  $('set-up').hidden = false;
  $('problem').hidden = !problem;
  say($('problem'), problem);
  $('token-field').hidden = !needsToken;
  $('token').required = needsToken;
  $('token').value = '';
  $('name').value = name;
  $('drinks').replaceChildren(...menu.map((drink) => card(drink, drinks.includes(drink.id))));
  (needsToken ? $('token') : name ? $('title') : $('name')).focus();
  return new Promise((resolve) => {
    $('form').onsubmit = (event) => {
      event.preventDefault();
      $('set-up').hidden = true;
      if (needsToken) keepToken('worker-token', $('token').value.trim());
      const chosen = [...$('drinks').querySelectorAll(':checked')].map(({ value }) => value);
      const choice = { name: $('name').value.trim(), drinks: chosen };
      keep('worker', choice);
      keepToken('worker-choice', JSON.stringify(choice));
      resolve(choice);
    };
  });
}

function card({ id, name }, checked) {
  const picture = el('img', { src: drinkImage(id), alt: '', width: 72, height: 72 });
  picture.onerror = () => { picture.onerror = null; picture.src = NO_PICTURE; };
  const box = el('input', { type: 'checkbox', value: id, checked });
  return el('label', {}, box, el('span', { className: 'card' }, picture, el('b', {}, name)));
}

/** Who was at work in this tab when it was left, and goes on; null if nobody was. @returns {Choice|null} */
export function choiceAtWork() {
  // Not the last choice of this device: in another tab it may be somebody else who works.
  const choice = tokenOf('worker-choice');
  return tokenOf('worker-session') && choice ? JSON.parse(choice) : null;
}
