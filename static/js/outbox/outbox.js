import { $, el, say } from '../shared/dom.js';
import { Problem } from '../shared/http.js';
import { learn, t } from '../shared/i18n.js';
import { ACTIONS } from '../monitor/actions.js';
import { askOutbox } from '../monitor/destinations.js';
import { loadStyle } from '../monitor/load_style.js';
import { DestinationTable } from './destination_table.js';
import { PHONES } from './phones.js';
import { WEBHOOKS } from './webhooks.js';

const AGAIN_MS = 2_000;
const act = (kind, name) => ({ destination }) => `${kind}/${encodeURIComponent(destination)}/${name}`;

/** Load the texts and the style of the outbox. @param {object} context that of Views */
export async function openOutbox(context) {
  await Promise.all([learn('outbox/words'), loadStyle('css/outbox.css')]);
  Object.assign(ACTIONS, {
    go_on: { path: act('webhooks', 'continue') },
    drop_pending: { path: act('webhooks', 'drop'), asks: true, isUnsigned: true },
    tell_again: { path: act('push', 'continue') },
    drop_message: { path: act('push', 'drop'), asks: true, isUnsigned: true },
  });
  return new Outbox(context);
}

/** Shows webhooks and phones, and what is pending for them; the operator sends it again or drops it. */
class Outbox {
  #context;
  #timer;
  #round = 0;
  #status = el('p', { className: 'hint', role: 'status' });
  #wrong = el('p', { className: 'refused', role: 'alert' });
  #title = el('h2', { id: 'outbox-title', tabIndex: -1 });
  #panel = el('section', { className: 'panel outbox' });
  #webhooks = this.#table(WEBHOOKS);
  #phones = this.#table(PHONES);

  constructor(context) {
    this.#context = context;
    this.#title.textContent = t('outbox.title');
    this.#panel.setAttribute('aria-labelledby', this.#title.id);
  }

  show() {
    this.leave();
    this.#panel.replaceChildren(this.#title, this.#status, this.#wrong);
    $('outbox').replaceChildren(this.#panel);
    say(this.#status, t('outbox.asking'));
    this.#look();
  }

  leave() {
    this.#round += 1;
    clearTimeout(this.#timer);
  }

  async #look() {
    clearTimeout(this.#timer);
    const round = ++this.#round;
    try {
      const outbox = await askOutbox();
      if (round !== this.#round) return;
      this.#draw(outbox);
      say(this.#status, '');
      say(this.#wrong, '');
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (round !== this.#round) return;
      if (problem.status === 401) return this.#context.unauthorized();
      say(this.#status, '');
      say(this.#wrong, problem.status ? t('outbox.refused', problem.message) : t('notLooked'));
    }
    this.#timer = setTimeout(() => this.#look(), AGAIN_MS);
  }

  // The headings come with what is below them.
  #draw({ webhooks, subscriptions, phones }) {
    this.#webhooks.show(webhooks, webhooks.length ? '' : t('webhooks.none'));
    this.#phones.show(phones, t('phones.about', subscriptions, phones.length));
    const tables = [this.#webhooks.node, this.#phones.node];
    if (!this.#panel.contains(tables[0])) this.#panel.append(...tables);
  }

  #table(kind) {
    return new DestinationTable(kind, (name, id, label) => this.#button(name, id, label), this.#title);
  }

  #button(name, id, label) {
    const button = this.#context.operator.button(name, { destination: id, label });
    const press = button.onclick;
    button.dataset.focus = `${name}-${id}`;
    button.onclick = async () => {
      const round = this.#round;
      await press();
      if (round === this.#round) this.#look();
    };
    return button;
  }
}
