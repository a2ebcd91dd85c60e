import { $, el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { currentAddress } from './address.js';

/** The views that look back; their scripts and styles are loaded when one of them is opened. */
const PAST = ['history', 'order', 'robot', 'statistics'];

/** Shows the view that the page's address names: the live one, or one that looks back. */
export class Views {
  #context;
  #isOpen = false;
  /** A promise of the views that look back; null before it is needed, and if they could not be loaded. */
  #past = null;

  /**
   * @param {{now: () => number, orderOf: (n: number) => ?object, unauthorized: () => void}} context
   *   the service's time in seconds; an order, if the live view knows it; called when the token is
   *   no longer valid
   */
  constructor(context) {
    this.#context = context;
    addEventListener('hashchange', () => { if (this.#isOpen) this.#show(); });
  }

  /** Show a view from now on, and the links between them. */
  open() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    $('views').hidden = false;
    this.#show();
  }

  /** Hide everything until `open`. */
  close() {
    this.#isOpen = false;
    $('views').hidden = $('skip').hidden = $('monitor').hidden = $('past').hidden = true;
  }

  #show() {
    const { view } = currentAddress();
    const isPast = PAST.includes(view);
    $('monitor').hidden = $('skip').hidden = isPast;
    $('past').hidden = !isPast;
    markCurrent(view === 'statistics' ? view : isPast ? 'history' : 'now');
    if (isPast) this.#lookBack();
  }

  // While the scripts were loaded, the address may have changed.
  async #lookBack() {
    const past = await (this.#past ??= this.#load());
    const { view, args } = currentAddress();
    if (past && PAST.includes(view)) past.show(view, args);
  }

  async #load() {
    try {
      const { openPastViews } = await import('../history/past_views.js');
      return await openPastViews(this.#context);
    } catch {
      this.#past = null;
      $('past').replaceChildren(el('p', { className: 'panel', role: 'alert' }, t('notLooked')));
      return null;
    }
  }
}

function markCurrent(name) {
  for (const link of $('views').children) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}
