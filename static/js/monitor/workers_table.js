import { $, el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { addressOf } from './address.js';
import { CONNECTED, workerName } from './model.js';
import { progressInWords } from './reasons.js';
import { Rows } from './rows.js';
import { describeRule } from './rule.js';
import { elapsed } from './time.js';

const ACTIONS_IN = { waiting: ['aside', 'drop'], matching: ['aside', 'drop'], aside: ['bring', 'drop'] };

/** The robots: what each is doing, for how long, and buttons for what an operator can do. */
export class WorkersTable {
  #operator;
  #rows;
  #twins;

  constructor(operator) {
    this.#operator = operator;
    this.#rows = new Rows($('workers'), (worker, id) => this.#row(worker, id), $('workers-title'));
  }

  show({ robots, twins }) {
    this.#twins = twins;
    this.#rows.show(robots, [...twins].join());
  }

  #row(worker, id) {
    const name = workerName(id, worker.label, this.#twins);
    const row = el('tr', {}, robotCell(worker, id, name), stateCell(worker), el('td', {}, orderOf(worker)));
    row.append(el('td', {}, elapsed(worker.since)), el('td', { className: 'wide' }, elapsed(worker.seen)));
    row.append(el('td', { className: 'acts' }, ...this.#buttons(worker, id, name)));
    row.dataset.state = worker.state;
    return row;
  }

  #buttons(worker, callback, label) {
    const target = { callback, label };
    return this.#operator.buttons(ACTIONS_IN[worker.state] ?? [], target);
  }
}

function robotCell(worker, id, name) {
  const shown = /^https?:/.test(worker.link ?? '') ? instanceLink(worker.link, name) : name;
  const cell = el('th', { scope: 'row', title: id }, shown);
  const channel = CONNECTED.exec(id)?.[1];
  if (channel) cell.append(' ', el('small', {}, t(`channel.${channel}`)));
  if (worker.activity) cell.append(' ', el('small', {}, worker.activity));
  if (worker.rule) cell.append(' ', el('small', { className: 'rule' }, describeRule(worker.rule)));
  return cell;
}

function instanceLink(href, name) {
  const link = el('a', { href, target: '_blank', rel: 'noopener noreferrer' }, name);
  link.setAttribute('aria-label', t('instance', name));
  return link;
}

function stateCell({ state, reason, refusals, unused, progress, cancelling }) {
  const pill = el('span', { className: 'pill' }, t(`robotState.${state}`));
  const notes = [
    progressInWords(progress), cancelling && t('toStop'), unused && t('unused'), reason, refusals ? t('refusals', refusals) : '',
  ].filter(Boolean);
  return el('td', {}, pill, ...notes.flatMap((note) => [' ', el('small', {}, note)]));
}

const orderOf = ({ ticket: n }) => (n ? el('a', { href: addressOf('order', { n }) }, `#${n}`) : '–');
