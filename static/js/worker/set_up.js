import { $, el, say } from '../shared/dom.js';
import { drinkImage, NO_PICTURE } from '../shared/menu.js';
import { keep, recall } from '../shared/storage.js';
import { keepToken, tokenOf } from '../shared/token.js';

/** @typedef {{name: string, drinks: string[]}} Choice */

/** The choice that was made last on this device. @returns {Choice} */
const lastChoice = () => recall('worker', { name: '', drinks: [] });

const boxes = () => [...$('drinks').querySelectorAll('input')];
const chosenDrinks = () => boxes().filter(({ checked }) => checked).map(({ value }) => value);
let shownMenu = '';

/** Offer the drinks of the menu, also while somebody is asked: those that are ticked stay so. */
export function offerDrinks(menu) {
  const key = JSON.stringify(menu);
  if (key === shownMenu) return; // a box would lose the focus
  shownMenu = key;
  const chosen = chosenDrinks();
  $('drinks').replaceChildren(...menu.map((drink) => card(drink, chosen.includes(drink.id))));
}

/**
 * Ask who works here, and what they make.
 * @param {{problem?: string, needsToken?: boolean}} why what was wrong with the last try
 * @returns {Promise<Choice>}
 */
export function askWhoWorks({ problem = '', needsToken = false }) {
  const { name, drinks } = lastChoice();
  $('set-up').hidden = false;
  $('problem').hidden = !problem;
  say($('problem'), problem);
  $('token-field').hidden = !needsToken;
  $('token').required = needsToken;
  $('token').value = '';
  $('name').value = name;
  for (const box of boxes()) box.checked = drinks.includes(box.value);
  (needsToken ? $('token') : name ? $('title') : $('name')).focus();
  return new Promise((resolve) => {
    $('form').onsubmit = (event) => {
      event.preventDefault();
      $('set-up').hidden = true;
      if (needsToken) keepToken('worker-token', $('token').value.trim());
      const choice = { name: $('name').value.trim(), drinks: chosenDrinks() };
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
