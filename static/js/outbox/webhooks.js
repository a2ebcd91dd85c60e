import { el } from '../shared/dom.js';
import { lang, t } from '../shared/i18n.js';
import { small, stateCell } from './destination_table.js';

const moment = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' });
const timeOf = (iso) => moment.format(Date.parse(iso));

/** Webhooks, for a DestinationTable. */
export const WEBHOOKS = {
  name: 'webhooks',
  columns: ['url', 'events', 'state', 'pending'],
  actions: ['go_on', 'drop_pending'],
  labelOf: ({ url }) => url,
  cells: (webhook) => [
    el('th', { scope: 'row' }, webhook.url, ...(webhook.configured ? [small(t('webhooks.configured'))] : [])),
    el('td', {}, webhook.events.join(', ')),
    stateCell(webhook, webhook.failing_since && t('webhooks.since', timeOf(webhook.failing_since))),
    pendingCell(webhook),
  ],
};

function pendingCell({ state, pending, oldest, told_to, last }) {
  const most = state === 'disabled' ? last - told_to : 0; // what is not in memory is not counted
  const waiting = pending ? t('webhooks.more', pending) : most ? t('webhooks.most', most) : t('webhooks.nothing');
  return el('td', {}, waiting, ...(oldest ? [small(t('webhooks.oldest', timeOf(oldest)))] : []));
}
