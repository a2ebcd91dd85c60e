import { askService } from './questions.js';

/** Whether a destination could not be told something: it is tried again, or has been given up. */
export const isFailing = ({ state }) => state !== 'delivering';

/**
 * Ask which webhooks there are, how many subscriptions of phones, and for which of those a message is pending.
 * @returns {Promise<{webhooks: object[], subscriptions: number, phones: object[]}>} of each its `state`; throws as
 *   `askService` does
 */
export async function askOutbox() {
  const [{ webhooks }, { subscriptions, pending }] = await Promise.all([askService('webhooks'), askService('push')]);
  const phones = pending.map((phone) => ({ ...phone, state: phone.attempts ? 'retrying' : 'delivering' }));
  return { webhooks, subscriptions, phones };
}

/** Count the webhooks and the push services that fail: one that is down fails for many phones. */
export function countFailing({ webhooks, phones }) {
  const services = new Set(phones.filter(isFailing).map(({ service }) => service));
  return webhooks.filter(isFailing).length + services.size;
}
