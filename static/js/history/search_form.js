import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { addressOf } from '../monitor/address.js';
import { dayOr, today } from './days.js';

/** One field for an order's number, a robot or a text, and the day to look at. */
export class SearchForm {
  #text = el('input', { type: 'search', autocomplete: 'off', spellcheck: false, maxLength: 200 });
  #day = el('input', { type: 'date', required: true });

  constructor() {
    this.#text.placeholder = t('history.what');
    const title = el('h2', { id: 'past-title', tabIndex: -1 }, t('viewHistory'));
    const form = el(
      'form', { className: 'filters', role: 'search', onsubmit: (event) => this.#search(event) },
      el('label', {}, el('span', { className: 'unseen' }, t('history.what')), this.#text),
      el('label', {}, el('span', { className: 'unseen' }, t('history.day')), this.#day),
      el('button', { className: 'button small' }, t('findIt')),
    );
    this.node = el('section', { className: 'panel' }, title, form, el('p', { className: 'hint' }, t('history.hint')));
    this.node.setAttribute('aria-labelledby', title.id);
  }

  /** Show what an address asks for. */
  fill({ find = '', n, name, day }) {
    this.#text.value = n ?? name ?? find;
    this.#day.value = dayOr(day);
    this.#day.max = today();
  }

  #search(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    const [, n] = /^#?\s*0*([1-9]\d{0,14})$/.exec(text) ?? [];
    location.hash = n ? addressOf('order', { n }) : addressOf('history', { find: text, day: this.#day.value });
  }
}
