import { $, el, isFocusLost, say } from '../shared/dom.js';
import { Problem } from '../shared/http.js';
import { lang, learn, t } from '../shared/i18n.js';
import { ACTIONS } from '../monitor/actions.js';
import { loadStyle } from '../monitor/load_style.js';
import { askService } from '../monitor/questions.js';
import { duration } from '../monitor/time.js';

const AGAIN_MS = 2_000;
const act = (name) => ({ webhook }) => `webhooks/${encodeURIComponent(webhook)}/${name}`;
const moment = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'medium', hour12: false });

/** Load the texts and the style of the webhooks. @param {object} context that of Views */
export async function openWebhooks(context) {
  await Promise.all([learn('webhooks/words'), loadStyle('css/webhooks.css')]);
  Object.assign(ACTIONS, {
    go_on: { path: act('continue') },
    drop_pending: { path: act('drop'), asks: true, isUnsigned: true },
  });
  return new Webhooks(context);
}

/** Shows who is told of events and what is pending, and lets the operator go on or drop it. */
class Webhooks {
  #context;
  #timer;
  #round = 0;
  #status = el('p', { className: 'hint', role: 'status' });
  #wrong = el('p', { className: 'refused', role: 'alert' });
  #body = el('tbody');
  #title = el('h2', { id: 'webhooks-title', tabIndex: -1 });
  #panel = el('section', { className: 'panel webhooks' });
  /** The rows as they were drawn: buttons stay where nothing has changed. */
  #drawn = '';

  constructor(context) {
    this.#context = context;
    this.#title.textContent = t('webhooks.title');
    const heads = ['url', 'events', 'state', 'pending'].map((name) => el('th', { scope: 'col' }, t(`webhooks.${name}`)));
    const acts = el('th', { scope: 'col' }, el('span', { className: 'unseen' }, t('actions')));
    const table = el('table', {}, el('thead', {}, el('tr', {}, ...heads, acts)), this.#body);
    table.setAttribute('aria-labelledby', this.#title.id);
    this.#panel.setAttribute('aria-labelledby', this.#title.id);
    this.#panel.append(this.#title, this.#status, this.#wrong, el('div', { className: 'scroll' }, table));
  }

  show() {
    this.leave();
    $('webhooks').replaceChildren(this.#panel);
    say(this.#status, t('webhooks.asking'));
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
      const { webhooks } = await askService('webhooks');
      if (round !== this.#round) return;
      this.#draw(webhooks);
      say(this.#status, webhooks.length ? '' : t('webhooks.none'));
      say(this.#wrong, '');
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (round !== this.#round) return;
      if (problem.status === 401) return this.#context.unauthorized();
      say(this.#status, '');
      say(this.#wrong, problem.status ? t('webhooks.refused', problem.message) : t('notLooked'));
    }
    this.#timer = setTimeout(() => this.#look(), AGAIN_MS);
  }

  #draw(webhooks) {
    const shown = JSON.stringify(webhooks);
    if (shown === this.#drawn) return;
    this.#drawn = shown;
    const focused = document.activeElement?.dataset.focus;
    this.#body.replaceChildren(...webhooks.map((webhook) => this.#row(webhook)));
    if (focused && isFocusLost()) (this.#body.querySelector(`[data-focus="${focused}"]`) ?? this.#title).focus();
  }

  #row({ id, url, events, state, reason, configured, failing_since, retry_in_s, pending, oldest, told_to, last }) {
    const about = [
      reason, failing_since && t('webhooks.since', timeOf(failing_since)),
      retry_in_s !== null && t('webhooks.retry', duration(retry_in_s)),
    ].filter(Boolean);
    const most = state === 'disabled' ? last - told_to : 0; // what is not in memory is not counted
    const waiting = pending ? t('webhooks.more', pending) : most ? t('webhooks.most', most) : t('webhooks.nothing');
    const row = el(
      'tr', {},
      el('th', { scope: 'row' }, url, ...(configured ? [el('small', {}, t('webhooks.configured'))] : [])),
      el('td', {}, events.join(', ')),
      el('td', {}, el('span', { className: 'pill' }, t(`webhooks.states.${state}`)), ...about.map(small)),
      el('td', {}, waiting, ...(oldest ? [small(t('webhooks.oldest', timeOf(oldest)))] : [])),
      el('td', { className: 'acts' }, ...(state === 'delivering' ? [] : [this.#button('go_on', id, url), this.#button('drop_pending', id, url)])),
    );
    row.dataset.state = state;
    return row;
  }

  #button(name, id, url) {
    const button = this.#context.operator.button(name, { webhook: id, label: url });
    const press = button.onclick;
    button.dataset.focus = `${name}-${id}`;
    button.onclick = async () => { await press(); this.#look(); };
    return button;
  }
}

const small = (text) => el('small', {}, text);
const timeOf = (iso) => moment.format(Date.parse(iso));
