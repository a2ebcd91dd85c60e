import { Connection } from '../shared/connection.js';
import { $, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { askService } from './questions.js';

/** Finds an order by its number, however far back in the queue, and follows it while it is shown. */
export class OrderFinder {
  /** The number searched for, or null. */
  n = null;
  /** A new one for each search: a late answer to an earlier one is dropped. */
  #search = {};
  /** The order as the list of all jobs has it. */
  #listed = null;
  #order = null;
  #known = null;
  #connection = null;
  #changed;
  #unauthorized;

  /**
   * @param {() => void} changed
   * @param {() => void} unauthorized called when the token is no longer valid
   */
  constructor(changed, unauthorized) {
    this.#changed = changed;
    this.#unauthorized = unauthorized;
    $('find').placeholder = t('findHint');
    $('find').oninput = () => { if (!$('find').value.trim()) this.clear(); };
    $('find-form').onsubmit = (event) => { event.preventDefault(); this.#find($('find').value); };
  }

  /** The order that was found, in a list of one; from the monitor's view if it is in there. */
  pick({ shelves }) {
    const known = Object.values(shelves).flat().find(({ n }) => n === this.n);
    return [known ? this.#placed(known, shelves.waiting.indexOf(known) + 1) : this.#order].filter(Boolean);
  }

  // Return the same object while nothing changes, so that its row is not redrawn.
  #placed(known, position) {
    const is = this.#known;
    if (is?.known !== known || is.order.position !== position) this.#known = { known, order: { ...known, position } };
    return this.#known.order;
  }

  /** End the search. */
  clear() {
    this.#begin(null);
    $('find').value = '';
    this.#changed();
  }

  #begin(n) {
    this.#connection?.close();
    this.n = n;
    this.#search = {};
    this.#listed = this.#order = this.#connection = null;
    say($('find-said'), '');
  }

  async #find(text) {
    const [, digits] = /^\s*#?\s*(\d{1,15})\s*$/.exec(text) ?? [];
    const n = Number(digits ?? NaN);
    this.#begin(digits ? n : null);
    const search = this.#search;
    if (!digits) return say($('find-said'), text.trim() ? t('noNumber') : '');
    try {
      const found = await look(n);
      if (this.#search === search) this.#found(found);
    } catch ({ status }) {
      if (status === 401) this.#unauthorized();
      else if (this.#search === search) say($('find-said'), t('notLooked'));
    }
    this.#changed();
  }

  #found(job) {
    say($('find-said'), t(job ? 'found' : 'notFound', this.n));
    if (!job) return;
    const { id, ticket: n, state, attempt, reason, submitted_at } = job;
    const submitted = Date.parse(submitted_at) / 1000;
    this.#order = this.#listed = { n, id, state, attempt, reason, submitted, t: submitted };
    this.#connection = new Connection({ order: id }, ({ view }) => this.#heard(view.entries.order)).open();
  }

  // There is no live view of an order that finished long ago.
  #heard(order) {
    if (!order) return;
    this.#order = { ...this.#listed, reason: '', ...order };
    this.#changed();
  }
}

async function look(n) {
  const { jobs: [job] } = await askService('jobs', { after: n - 1, limit: 1 });
  return job?.ticket === n ? job : null;
}
