import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { addressOf } from '../monitor/address.js';
import { dayOr, later, today } from './days.js';

const BY = ['hour', 'drink', 'robot'];

/** The spans to choose from, each as its first and last day. */
const SPANS = {
  today: () => [today(), today()],
  yesterday: () => [later(today(), -1), later(today(), -1)],
  week: () => [later(today(), -6), today()],
};

/** What an address of statistics asks for: the first and last day, and what the rows are for. */
export function choiceOf({ span, from, to, by }) {
  const [first, last] = (SPANS[span] ?? SPANS.today)();
  const days = from || to ? [dayOr(from, dayOr(to)), dayOr(to, last)] : [first, last];
  return { days: days.sort(), by: BY.includes(by) ? by : 'hour' };
}

/** Chooses a span of days, and whether to count by hour, drink or robot. */
export class SpanForm {
  #from = el('input', { type: 'date', required: true });
  #to = el('input', { type: 'date', required: true });
  #spans = Object.keys(SPANS).map((name) => link(t(`statistics.spans.${name}`)));
  #rows = BY.map((name) => link(t(`statistics.by.${name}`)));
  #by;

  constructor() {
    const title = el('h2', { id: 'past-title', tabIndex: -1 }, t('viewStatistics'));
    const form = el(
      'form', { className: 'filters', onsubmit: (event) => this.#choose(event) },
      el('label', {}, t('statistics.from'), ' ', this.#from), el('label', {}, t('statistics.to'), ' ', this.#to),
      el('button', { className: 'button small' }, t('statistics.show')),
    );
    const choice = el('div', { className: 'choice' }, links('span', this.#spans), form, links('rows', this.#rows));
    this.node = el('section', { className: 'panel' }, title, choice);
    this.node.setAttribute('aria-labelledby', title.id);
  }

  /** Show what an address asks for. */
  fill(args) {
    const { days: [first, last], by } = choiceOf(args);
    const { span = args.from || args.to ? '' : 'today', from = '', to = '' } = args;
    [this.#from.value, this.#to.value] = [first, last];
    this.#from.max = this.#to.max = today();
    Object.keys(SPANS).forEach((name, i) => point(this.#spans[i], { span: name, by }, name === span));
    BY.forEach((name, i) => point(this.#rows[i], { span, from, to, by: name }, name === by));
    this.#by = by;
  }

  #choose(event) {
    event.preventDefault();
    location.hash = addressOf('statistics', { from: this.#from.value, to: this.#to.value, by: this.#by });
  }
}

const link = (text) => el('a', { className: 'button small' }, text);

function links(name, items) {
  const node = el('nav', { className: 'shelves' }, ...items);
  node.setAttribute('aria-label', t(`statistics.${name}`));
  return node;
}

function point(node, args, isCurrent) {
  node.href = addressOf('statistics', args);
  if (isCurrent) node.setAttribute('aria-current', 'true');
  else node.removeAttribute('aria-current');
}
