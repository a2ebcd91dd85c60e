import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { stateCell } from './destination_table.js';

/** Phones for which a message is pending, for a DestinationTable. */
export const PHONES = {
  name: 'phones',
  columns: ['order', 'service', 'message', 'state'],
  actions: ['tell_again', 'drop_message'],
  labelOf: ({ ticket }) => ticket,
  cells: (phone) => [
    el('th', { scope: 'row' }, `#${phone.ticket}`),
    el('td', {}, phone.service),
    el('td', {}, t(`phones.kinds.${phone.kind}`)),
    stateCell(phone, phone.attempts && t('phones.attempts', phone.attempts)),
  ],
};
