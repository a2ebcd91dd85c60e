/** The texts of the outbox: webhooks, and messages to phones. */
export const words = {
  outbox: {
    title: 'Outbox',
    asking: 'Loading…',
    refused: (why) => `That was not possible: ${why}.`,
    states: { delivering: 'Delivering', retrying: 'Trying again', disabled: 'Stopped' },
    retry: (duration) => `next try in ${duration}`,
  },
  webhooks: {
    title: 'Webhooks',
    none: 'There are no webhooks.',
    url: 'URL',
    events: 'Events',
    state: 'State',
    pending: 'Pending',
    nothing: 'nothing',
    more: (n) => (n === 1 ? '1 event' : `${n} events`),
    most: (n) => `at most ${n}`,
    oldest: (time) => `oldest from ${time}`,
    since: (time) => `failing since ${time}`,
    configured: 'from the settings file',
  },
  phones: {
    title: 'Messages to phones',
    about: (subscriptions, pending) => {
      if (!subscriptions) return 'No phone is subscribed.';
      const messages = pending === 1 ? '1 message' : `${pending || 'no'} messages`;
      return `${subscriptions === 1 ? '1 subscription' : `${subscriptions} subscriptions`}, ${messages} pending`;
    },
    order: 'Order',
    service: 'Push service',
    message: 'Message',
    state: 'State',
    kinds: { two_before: '2 ahead', making: 'Being mixed', ready: 'Ready', late: 'Taking longer', failed: 'Failed' },
    attempts: (n) => (n === 1 ? '1 attempt' : `${n} attempts`),
  },
  acts: {
    go_on: 'Send again', drop_pending: 'Drop', tell_again: 'Send again', drop_message: 'Drop',
  },
  act: {
    go_on: (url) => `Send again to ${url}`,
    drop_pending: (url) => `Drop what is pending for ${url}`,
    tell_again: (n) => `Send the message about order ${n} again`,
    drop_message: (n) => `Drop the message about order ${n}`,
  },
  ask: {
    drop_pending: (url) => `Drop what is pending for ${url}?`,
    drop_message: (n) => `Drop the message about order ${n}?`,
  },
  consequence: {
    drop_pending: 'It will never receive these events; delivery continues with the next one. They stay in the history.',
    drop_message: 'The phone will never get this message; later ones are still sent. The order is not affected.',
  },
  yes: {
    drop_pending: 'Yes, drop it', drop_message: 'Yes, drop it',
  },
  did: {
    go_on: (url) => `Sending to ${url} again.`,
    drop_pending: (url) => `What was pending for ${url} was dropped.`,
    tell_again: (n) => `The message about order ${n} is being sent again.`,
    drop_message: (n) => `The message about order ${n} was dropped.`,
  },
};
