/** Die Texte des Postausgangs: Webhooks und Nachrichten an Handys. */
export const words = {
  outbox: {
    title: 'Postausgang',
    asking: 'Wird geladen …',
    refused: (why) => `Das ging nicht: ${why}.`,
    states: { delivering: 'Wird zugestellt', retrying: 'Neuer Versuch', disabled: 'Angehalten' },
    retry: (duration) => `nächster Versuch in ${duration}`,
  },
  webhooks: {
    title: 'Webhooks',
    none: 'Es gibt keine Webhooks.',
    url: 'Ziel',
    events: 'Ereignisse',
    state: 'Status',
    pending: 'Ausstehend',
    nothing: 'nichts',
    more: (n) => (n === 1 ? '1 Ereignis' : `${n} Ereignisse`),
    most: (n) => `höchstens ${n}`,
    oldest: (time) => `das älteste vom ${time}`,
    since: (time) => `schlägt fehl seit ${time}`,
    configured: 'aus der Einstellungsdatei',
  },
  phones: {
    title: 'Nachrichten an Handys',
    about: (subscriptions, pending) => {
      if (!subscriptions) return 'Kein Handy ist angemeldet.';
      const messages = pending === 1 ? '1 Nachricht' : `${pending || 'keine'} Nachrichten`;
      return `${subscriptions === 1 ? '1 Anmeldung' : `${subscriptions} Anmeldungen`}, ${messages} ausstehend`;
    },
    order: 'Bestellung',
    service: 'Push-Dienst',
    message: 'Nachricht',
    state: 'Status',
    kinds: { two_before: '2 davor', making: 'Wird gemixt', ready: 'Fertig', late: 'Dauert länger', failed: 'Fehlgeschlagen' },
    attempts: (n) => (n === 1 ? '1 Versuch' : `${n} Versuche`),
  },
  acts: {
    go_on: 'Erneut senden', drop_pending: 'Verwerfen', tell_again: 'Erneut senden', drop_message: 'Verwerfen',
  },
  act: {
    go_on: (url) => `Erneut an ${url} senden`,
    drop_pending: (url) => `Ausstehendes für ${url} verwerfen`,
    tell_again: (n) => `Nachricht zu Bestellung ${n} erneut senden`,
    drop_message: (n) => `Nachricht zu Bestellung ${n} verwerfen`,
  },
  ask: {
    drop_pending: (url) => `Verwerfen, was für ${url} aussteht?`,
    drop_message: (n) => `Nachricht zu Bestellung ${n} verwerfen?`,
  },
  consequence: {
    drop_pending: 'Diese Ereignisse kommen dort nie an; mit dem nächsten geht es weiter. Im Verlauf bleiben sie.',
    drop_message: 'Das Handy bekommt diese Nachricht nie, spätere schon. Die Bestellung ist davon nicht betroffen.',
  },
  yes: {
    drop_pending: 'Ja, verwerfen', drop_message: 'Ja, verwerfen',
  },
  did: {
    go_on: (url) => `An ${url} wird wieder gesendet.`,
    drop_pending: (url) => `Was für ${url} ausstand, wurde verworfen.`,
    tell_again: (n) => `Die Nachricht zu Bestellung ${n} wird erneut gesendet.`,
    drop_message: (n) => `Die Nachricht zu Bestellung ${n} wurde verworfen.`,
  },
};
