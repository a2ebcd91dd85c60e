import { $, el, say } from '../shared/dom.js';
import { showTitle, t } from '../shared/i18n.js';
import { LOGOS, logoImage } from '../shared/logos.js';
import { drinkImage, find, loadMenu, NO_PICTURE } from '../shared/menu.js';
import { keep, recall } from '../shared/storage.js';
import { tokenOf } from '../shared/token.js';

/**
 * Fill the form (drink, logo, name, one button).
 * @param {string|null} wanted the drink of the page's address
 * @param {(choice: () => {drink: string, logo: string, name: string}) => Promise<void>} onSubmit
 */
export async function startForm(wanted, onSubmit) {
  const form = $('form');
  const customer = recall('customer', {});
  form.elements.name.value = customer.name ?? '';
  $('logos').append(...LOGOS.map(logoCard));
  choose('logos', LOGOS.includes(customer.logo) ? customer.logo : anyOf(LOGOS));
  form.onsubmit = once(onSubmit);
  $('submit').disabled = true; // without the drinks, nothing would be asked for
  form.onchange = () => showChoice();
  showBar();
  const menu = await loadMenu(wanted);
  $('drinks').append(...menu.map(drinkCard));
  $('submit').disabled = false;
  greyOut(menu.filter(({ available }) => available === false).map(({ id }) => id), 0);
  if (wanted) choose('drinks', find(wanted).id);
  showChoice();
}

// Customers who came without the code at the bar learn it before they fill the form in.
async function showBar() {
  const bar = await fetch('config.json').then((one) => (one.ok ? one.json() : {})).catch(() => ({}));
  showTitle(bar);
  if (!bar.submit_token || tokenOf('submit-token')) return;
  $('form').dataset.closed = 'true';
  $('closed').hidden = false;
  say($('closed'), t('onlyWithCode'));
}

/** Preselect the drink of an earlier order. */
export function orderAgain({ drink }) {
  choose('drinks', find(drink)?.id);
  showChoice();
}

/**
 * Grey out the drinks that no robot makes, and no others. One that is chosen stays so, but cannot be ordered.
 * @param {string[]} unavailable their ids
 * @param {number} robots how many are at work: without one no drink is back, though it may be grey no more
 */
export function greyOut(unavailable, robots) {
  const chosen = chosenDrink();
  const wasGone = isGone(chosen);
  const changed = radiosIn('drinks').filter((radio) => isGone(radio) !== unavailable.includes(radio.value));
  for (const radio of changed) radio.setAttribute('aria-disabled', !isGone(radio));
  const isBack = robots && wasGone && !isGone(chosen);
  if (changed.length || !robots) showChoice(isBack ? t('chosenIsBack', find(chosen.value).name) : '');
}

// Impatient people press the button again: that is still one order, of what they chose last.
function once(onSubmit) {
  let last = null;
  return async (event) => {
    event.preventDefault();
    const isBusy = last;
    last = choice(event.target);
    if (!isBusy) await onSubmit(() => last).finally(() => { last = null; });
  };
}

function choice(form) {
  const { drink, logo, name } = Object.fromEntries(new FormData(form));
  keep('customer', { name: name.trim(), logo });
  return { drink, logo, name: name.trim() };
}

function drinkCard({ id, name, description = '' }) {
  const picture = el('img', { src: drinkImage(id), alt: '', width: 72, height: 72 });
  picture.onerror = () => { picture.onerror = null; picture.src = NO_PICTURE; delete find(id).image; };
  const texts = [el('b', {}, name), el('small', {}, description), el('small', { className: 'reason' }, t('notMade'))];
  const node = card('drink', id, picture, ...texts);
  // Not `disabled`: the keyboard and screen readers pass over that, and over the reason.
  node.firstChild.onclick = (event) => { if (isGone(event.target)) event.preventDefault(); };
  return node;
}

function logoCard(logo) {
  const picture = el('img', { src: logoImage(logo), alt: '', width: 64, height: 64 });
  return card('logo', logo, picture, el('b', {}, t(`logos.${logo}`)));
}

function card(name, value, ...content) {
  const radio = el('input', { type: 'radio', name, value, required: true });
  return el('label', {}, radio, el('span', { className: 'card' }, ...content));
}

function choose(id, value) {
  for (const radio of radiosIn(id)) radio.checked = radio.value === value;
}

const radiosIn = (id) => [...$(id).querySelectorAll('input')];
const chosenDrink = () => radiosIn('drinks').find(({ checked }) => checked);
const isGone = (radio) => radio?.getAttribute('aria-disabled') === 'true';

function showChoice(news = '') {
  const chosen = chosenDrink();
  const name = chosen && find(chosen.value).name;
  const obstacle = isGone(chosen) ? t('chosenNotMade', name) : '';
  for (const radio of radiosIn('drinks')) radio.setCustomValidity(radio === chosen ? obstacle : '');
  say($('drink-news'), obstacle || news);
  say($('submit'), name ? t('orderDrink', name) : t('order'));
}

const anyOf = (list) => list[Math.floor(Math.random() * list.length)];
