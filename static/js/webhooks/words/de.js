/** Die Texte der Webhooks. */
export const words = {
  webhooks: {
    title: 'Webhooks',
    asking: 'Wird abgefragt …',
    refused: (why) => `Der Dienst sagt: ${why}.`,
    none: 'Es gibt keine Webhooks.',
    url: 'Ziel',
    events: 'Ereignisse',
    state: 'Status',
    pending: 'Ausstehend',
    states: { delivering: 'Wird zugestellt', retrying: 'Neuer Versuch', disabled: 'Angehalten' },
    nothing: 'nichts',
    more: (n) => (n === 1 ? '1 Ereignis' : `${n} Ereignisse`),
    most: (n) => `höchstens ${n}`,
    oldest: (time) => `das älteste von ${time}`,
    since: (time) => `schlägt fehl seit ${time}`,
    retry: (duration) => `nächster Versuch in ${duration}`,
    configured: 'aus der Einstellungsdatei',
  },
  acts: {
    go_on: 'Erneut senden', drop_pending: 'Verwerfen',
  },
  act: {
    go_on: (url) => `Erneut an ${url} senden`,
    drop_pending: (url) => `Ausstehendes für ${url} verwerfen`,
  },
  ask: {
    drop_pending: (url) => `Verwerfen, was für ${url} aussteht?`,
  },
  consequence: {
    drop_pending: 'Diese Ereignisse werden dort nie gemeldet, und es geht mit dem nächsten weiter. Im Verlauf bleiben sie.',
  },
  yes: {
    drop_pending: 'Ja, verwerfen',
  },
  did: {
    go_on: (url) => `An ${url} wird wieder gesendet.`,
    drop_pending: (url) => `Was für ${url} ausstand, ist verworfen.`,
  },
};
