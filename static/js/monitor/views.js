import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { currentAddress } from './address.js';
import { askOutbox, countFailing } from './destinations.js';

const LIVE = 'monitor';
/** The live view as it was; its address has the moment. */
export const REWIND = 'rewind';
const OUTBOX_AGAIN_MS = 60_000;

/** The other parts of the page, and how to load their scripts and styles. */
const LOADED = {
  past: async (context) => (await import('../history/past_views.js')).openPastViews(context),
  outbox: async (context) => (await import('../outbox/outbox.js')).openOutbox(context),
  overview: async ({ topics }) => (await import('../overview/overview.js')).openOverview(topics),
};

/** The part of the page that each view is in; the live one is for all other addresses. */
const PART_OF = {
  history: 'past', order: 'past', robot: 'past', statistics: 'past', outbox: 'outbox', overview: 'overview',
};

/** Shows the view that the page's address names: the live one, or one that is loaded when it is opened. */
export class Views {
  #context;
  #isOpen = false;
  /** Promises of the parts that were opened, by name; of one that could not be loaded there is none. */
  #parts = {};
  /** The part that is shown, if it is not the live view. */
  #shown = null;
  #timer;

  /**
   * @param {{topics: object, operator: object, now: () => number, orderOf: (n: number) => ?object, unauthorized: () => void}} context
   *   the topics; who acts; the service's time in seconds; an order, if the live view knows it; called when the
   *   token is no longer valid
   */
  constructor(context) {
    this.#context = context;
    addEventListener('hashchange', () => { if (this.#isOpen) this.#show(); });
    $('skip').onclick = (event) => skip(event);
  }

  /** The part of the page that the address names; of a single topic there is no overview. */
  get current() {
    const part = PART_OF[currentAddress().view] ?? LIVE;
    return part === 'overview' && !this.#context.topics.areMany ? LIVE : part;
  }

  /** Show a view from now on, and the links between them. */
  open() {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#context.topics.show();
    this.#show();
    this.#lookAtOutbox();
  }

  /** Hide everything until `open`. */
  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.#leave();
    document.body.dataset.part = '';
    for (const id of ['topics', 'views', 'skip', LIVE, ...Object.keys(LOADED)]) $(id).hidden = true;
  }

  #show() {
    const { current } = this;
    const { view } = currentAddress();
    this.#leave();
    for (const id of [LIVE, ...Object.keys(LOADED)]) $(id).hidden = id !== current;
    $('skip').hidden = current !== LIVE;
    $('views').hidden = current === 'overview';
    document.body.dataset.part = current;
    const link = { past: view === 'statistics' ? view : 'history', outbox: current }[current];
    markCurrent('views', link ?? (view === REWIND ? view : 'now'));
    markCurrent('topics', current === 'overview' ? current : 'now');
    if (current !== LIVE) this.#open(current);
  }

  // Most services have neither webhooks nor subscriptions, and then there is no link.
  async #lookAtOutbox() {
    if (!this.#isOpen) return;
    const outbox = await askOutbox().catch(() => ({ webhooks: [], subscriptions: 0, phones: [] }));
    $('to-outbox').hidden = !outbox.webhooks.length && !outbox.subscriptions && this.current !== 'outbox';
    say($('to-outbox'), t('viewOutbox', countFailing(outbox)));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lookAtOutbox(), OUTBOX_AGAIN_MS);
  }

  // While the scripts were loaded, the address may have changed.
  async #open(part) {
    const loaded = await (this.#parts[part] ??= this.#load(part));
    const { view, args } = currentAddress();
    if (!loaded || !this.#isOpen || this.current !== part) return;
    this.#shown = loaded;
    loaded.show(view, args);
  }

  async #load(part) {
    try {
      return await LOADED[part](this.#context);
    } catch {
      delete this.#parts[part];
      $(part).replaceChildren(el('p', { className: 'panel', role: 'alert' }, t('notLooked')));
      return null;
    }
  }

  #leave() {
    this.#shown?.leave?.();
    this.#shown = null;
  }
}

// The address stays: it says which view this is, and of which moment.
function skip(event) {
  const { hash } = event.target;
  if (!hash) return;
  event.preventDefault();
  $(hash.slice(1)).focus();
}

function markCurrent(nav, name) {
  for (const link of $(nav).children) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}
