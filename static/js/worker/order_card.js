import { $, el, isFocusLost, say, show } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { logoImage } from '../shared/logos.js';
import { drinkName } from '../shared/menu.js';

const STEPS = [25, 50, 75];
/** Which buttons a phase has; the first one is the large one. */
const ACTS = {
  waiting: [], offered: ['accept'], accepting: [], making: ['ready', 'cannot'], cancelling: ['notMade', 'ready'],
  reporting: [], missed: ['here'], lost: ['next'], away: ['takeOver', 'leave'],
};
const WITH_ORDER = ['offered', 'accepting', 'making', 'cancelling', 'reporting', 'missed', 'lost'];
/** A wet finger touches twice: a button that has just come under it does nothing yet. */
const SETTLE_MS = 500;

/** Shows one order, and the buttons for it. */
export class OrderCard {
  #acts;
  #onStep;
  #phase = '';
  #settling;

  /**
   * @param {Object<string, () => void>} acts what each button does
   * @param {(percent: number) => void} onStep
   */
  constructor(acts, onStep) {
    this.#acts = acts;
    this.#onStep = onStep;
    $('steps').append(...STEPS.map((percent) => this.#step(percent)));
  }

  /**
   * @param {{phase: string, order: object|null, notice: string, percent: number|null, link: string}} what
   */
  show({ phase, order, notice, percent, link }) {
    const key = `${phase} ${order?.id}`;
    const isNew = key !== this.#phase;
    this.#phase = key;
    $('card').dataset.phase = phase;
    say($('headline'), t(`headline.${phase}`));
    say($('note'), [link === 'stale' ? t('reconnecting') : '', notice, t(`note.${phase}`)].find(Boolean) ?? '');
    $('note').hidden = !$('note').textContent;
    $('order').hidden = !WITH_ORDER.includes(phase);
    if (order) showOrder(order);
    $('steps').hidden = phase !== 'making';
    for (const step of $('steps').children) step.setAttribute('aria-pressed', Number(step.dataset.percent) === percent);
    if (isNew) this.#renew(phase);
  }

  #renew(phase) {
    const hadFocus = $('acts').contains(document.activeElement);
    $('acts').replaceChildren(...ACTS[phase].map((act, n) => this.#button(act, n === 0)));
    if (hadFocus || isFocusLost()) $('headline').focus({ preventScroll: true });
    const buttons = [...$('card').querySelectorAll('button')];
    for (const button of buttons) button.disabled = true;
    clearTimeout(this.#settling); // that of the phase before would let the steps settle too early
    this.#settling = setTimeout(() => { for (const button of buttons) button.disabled = false; }, SETTLE_MS);
  }

  #button(act, isFirst) {
    const className = isFirst ? 'button large primary' : 'button large';
    const button = el('button', { type: 'button', className, onclick: this.#acts[act] }, t(`acts.${act}`));
    button.dataset.act = act;
    return button;
  }

  #step(percent) {
    const onclick = () => this.#onStep(percent);
    const button = el('button', { type: 'button', className: 'button', onclick }, t('percent', percent));
    button.dataset.percent = percent;
    return button;
  }
}

function showOrder({ ticket, data }) {
  const { drink, name, logo, ...wishes } = typeof data === 'object' && data && !Array.isArray(data) ? data : { drink: data };
  show($('logo'), logoImage(logo));
  $('logo').alt = t(`logos.${asText(logo)}`);
  say($('number'), t('number', ticket));
  say($('drink'), drinkName(asText(drink)));
  say($('customer'), name ? t('forName', asText(name)) : '');
  const texts = Object.entries(wishes).map(([member, value]) => t('wish', member, asText(value)));
  $('wishes').replaceChildren(...texts.map((text) => el('li', {}, text)));
}

const asText = (value) => (typeof value === 'string' ? value : JSON.stringify(value) ?? '');
