/** The texts of the webhooks. */
export const words = {
  webhooks: {
    title: 'Webhooks',
    asking: 'Looking …',
    refused: (why) => `The service says: ${why}.`,
    none: 'There are no webhooks.',
    url: 'Tells',
    events: 'Events',
    state: 'State',
    pending: 'Pending',
    states: { delivering: 'Delivering', retrying: 'Trying again', disabled: 'Stopped' },
    nothing: 'nothing',
    more: (n) => (n === 1 ? '1 event' : `${n} events`),
    most: (n) => `at most ${n}`,
    oldest: (time) => `the oldest of ${time}`,
    since: (time) => `failing since ${time}`,
    retry: (duration) => `next try in ${duration}`,
    configured: 'from the settings file',
  },
  acts: {
    go_on: 'Send again', drop_pending: 'Drop',
  },
  act: {
    go_on: (url) => `Send again to ${url}`,
    drop_pending: (url) => `Drop what is pending for ${url}`,
  },
  ask: {
    drop_pending: (url) => `Drop what is pending for ${url}?`,
  },
  consequence: {
    drop_pending: 'It is never told of these events, and goes on with the next one. They stay in the history.',
  },
  yes: {
    drop_pending: 'Yes, drop it',
  },
  did: {
    go_on: (url) => `${url} is being told again.`,
    drop_pending: (url) => `What was pending for ${url} is dropped.`,
  },
};
