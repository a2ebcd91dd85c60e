import { $, el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { serviceUrl } from '../shared/service_url.js';
import { keepToken, tokenOf } from '../shared/token.js';
import { addressOf } from './address.js';
import { askService } from './questions.js';

const PATIENCE_MS = 5_000;

/** The topics that the operator's token opens, each with a monitor of its own, and the links between them. */
export class Topics {
  /** @type {{title: string, base: URL, isHere: boolean}[]} empty until they are loaded, and if they cannot be */
  all = [];

  /** The title of the topic that this monitor is of; empty if it has none. */
  get title() {
    return this.all.find(({ isHere }) => isHere)?.title ?? '';
  }

  /** Whether there is something to switch between. */
  get areMany() {
    return this.all.length > 1;
  }

  /** Ask the service for them, and keep the token for all of them, so that none asks for it again. */
  async load() {
    const { topics } = await askService('topics', {}, PATIENCE_MS).catch(() => ({ topics: [] }));
    this.all = topics.map(({ title, url }) => {
      const base = new URL(url, serviceUrl('operator/topics'));
      return { title, base, isHere: base.href === serviceUrl('').href };
    });
    this.#keep(tokenOf('operator-token'));
  }

  /** Forget the token, wherever it was kept. */
  signOut() {
    this.#keep('');
    keepToken('operator-token', '');
  }

  /** Show the links: to the overview, and to each topic; none where there is only one. */
  show() {
    const overview = el('a', { href: addressOf('overview') }, t('allTopics'));
    $('topics').hidden = !this.areMany;
    $('topics').replaceChildren(overview, ...this.all.map(linkTo));
  }

  #keep(token) {
    for (const { base } of this.all) keepToken('operator-token', token, base);
  }
}

/** A link to the monitor of a topic. */
export function linkTo({ title, base, isHere }) {
  const page = new URL(`public/monitor.html${location.search}`, base);
  return el('a', { href: isHere ? addressOf('now') : page }, title || t('brand'));
}
