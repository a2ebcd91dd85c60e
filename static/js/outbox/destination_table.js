import { el, isFocusLost, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { isFailing } from '../monitor/destinations.js';
import { duration } from '../monitor/time.js';

const MOST_SHOWN = 100;

/** Shows destinations under a heading: what is pending for each, why, and buttons where it fails. */
export class DestinationTable {
  node;
  #kind;
  #button;
  #home;
  #body = el('tbody');
  #about = el('p', { className: 'hint' });
  #more = el('p', { className: 'hint' });
  /** What is shown. */
  #drawn = '';
  /** Its rows by id. Their buttons stay, since one that is replaced while it is pressed is not clicked. */
  #rows = new Map();

  /**
   * @param {{name: string, columns: string[], actions: string[], labelOf: (one: object) => string|number,
   *   cells: (one: object) => HTMLElement[]}} kind the name of its texts and those of its columns; what can be done
   *   with a destination, how it is called, and its cells
   * @param {(action: string, id: string, label: string|number) => HTMLElement} button creates one
   * @param {HTMLElement} home gets the focus when the button that had it goes
   */
  constructor(kind, button, home) {
    [this.#kind, this.#button, this.#home] = [kind, button, home];
    const title = el('h3', { id: `outbox-${kind.name}` }, t(`${kind.name}.title`));
    const heads = kind.columns.map((name) => el('th', { scope: 'col' }, t(`${kind.name}.${name}`)));
    const acts = el('th', { scope: 'col' }, el('span', { className: 'unseen' }, t('actions')));
    const table = el('table', {}, el('thead', {}, el('tr', {}, ...heads, acts)), this.#body);
    table.setAttribute('aria-labelledby', title.id);
    this.node = el('section', {}, title, this.#about, el('div', { className: 'scroll' }, table), this.#more);
    this.node.setAttribute('aria-labelledby', title.id);
  }

  /** @param {object[]} destinations @param {string} about a line on them */
  show(destinations, about) {
    say(this.#about, about);
    say(this.#more, destinations.length > MOST_SHOWN ? t('more', destinations.length - MOST_SHOWN) : '');
    this.#draw(destinations.slice(0, MOST_SHOWN));
  }

  #draw(destinations) {
    const shown = JSON.stringify(destinations);
    if (shown === this.#drawn) return;
    this.#drawn = shown;
    const focused = document.activeElement?.dataset.focus;
    this.#rows = new Map(destinations.map((one) => [one.id, this.#row(one)]));
    const [rows, present] = [[...this.#rows.values()], this.#body.children];
    if (rows.length !== present.length || rows.some((row, i) => row !== present[i])) this.#body.replaceChildren(...rows);
    if (focused && isFocusLost()) (this.#body.querySelector(`[data-focus="${focused}"]`) ?? this.#home).focus();
  }

  #row(one) {
    const { actions, cells, labelOf } = this.#kind;
    const row = this.#rows.get(one.id) ?? el('tr', {}, el('td', { className: 'acts' }));
    const acts = row.lastElementChild;
    while (row.firstElementChild !== acts) row.firstElementChild.remove();
    acts.before(...cells(one));
    const names = isFailing(one) ? actions : [];
    if (acts.childElementCount !== names.length) {
      acts.replaceChildren(...names.map((name) => this.#button(name, one.id, labelOf(one))));
    }
    row.dataset.state = one.state;
    return row;
  }
}

/** Create the cell that says how a destination is, and if it fails, why, `since` when, and when it is tried again. */
export function stateCell({ state, reason, retry_in_s }, since) {
  const about = [reason, since, retry_in_s !== null && t('outbox.retry', duration(retry_in_s))].filter(Boolean);
  return el('td', {}, el('span', { className: 'pill' }, t(`outbox.states.${state}`)), ...about.map(small));
}

/** Create a line in small print. */
export const small = (text) => el('small', {}, text);
