import { Connection } from '../shared/connection.js';
import { $, say } from '../shared/dom.js';
import { call } from '../shared/http.js';
import { t } from '../shared/i18n.js';
import { bearer, tokenOf } from '../shared/token.js';

/** Finds one order by its number, however far back it stands, and follows it while it is looked at. */
export class Finder {
  /** The number that is looked for, or null. */
  n = null;
  /** What the list of all orders says of it. */
  #listed = null;
  #order = null;
  #known = null;
  #connection = null;
  #changed;
  #unauthorized;

  /**
   * @param {() => void} changed
   * @param {() => void} unauthorized called when the token is not good any more
   */
  constructor(changed, unauthorized) {
    this.#changed = changed;
    this.#unauthorized = unauthorized;
    $('find').placeholder = t('findHint');
    $('find').oninput = () => { if (!$('find').value.trim()) this.clear(); };
    $('find-form').onsubmit = (event) => { event.preventDefault(); this.#find($('find').value); };
  }

  /** The order that was found, as a list of one: what the monitor follows knows most of it. */
  pick({ shelves }) {
    const known = Object.values(shelves).flat().find(({ n }) => n === this.n);
    return [known ? this.#placed(known, shelves.waiting.indexOf(known) + 1) : this.#order].filter(Boolean);
  }

  // The same object for as long as nothing changes, so that its row need not be drawn anew.
  #placed(known, position) {
    const is = this.#known;
    if (is?.known !== known || is.order.position !== position) this.#known = { known, order: { ...known, position } };
    return this.#known.order;
  }

  /** Look for nothing any more. */
  clear() {
    this.#begin(null);
    $('find').value = '';
    this.#changed();
  }

  #begin(n) {
    this.#connection?.close();
    this.n = n;
    this.#listed = this.#order = this.#connection = null;
    say($('find-said'), '');
  }

  async #find(text) {
    const [, digits] = /^\s*#?\s*(\d{1,15})\s*$/.exec(text) ?? [];
    const n = Number(digits ?? NaN);
    this.#begin(digits ? n : null);
    if (!digits) return say($('find-said'), text.trim() ? t('noNumber') : '');
    try {
      const found = await look(n);
      if (this.n === n) this.#found(found);
    } catch ({ status }) {
      if (status === 401) this.#unauthorized();
      else if (this.n === n) say($('find-said'), t('notLooked'));
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

  // Of an order that was over long ago nothing more is heard.
  #heard(order) {
    if (!order) return;
    this.#order = { ...this.#listed, reason: '', ...order };
    this.#changed();
  }
}

async function look(n) {
  const query = new URLSearchParams({ after: n - 1, limit: 1 });
  const answer = await call(`operator/jobs?${query}`, { headers: bearer(tokenOf('operator-token')) });
  const { jobs: [job] } = await answer.json();
  return job?.ticket === n ? job : null;
}
