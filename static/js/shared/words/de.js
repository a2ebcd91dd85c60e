/**
 * Die Texte der Bestellseite und der Anzeige. Der Monitor lädt sie auch, und ergänzt seine eigenen
 * (monitor/words). Gäste werden geduzt.
 */
export const words = {
  brand: 'Roboter-Bar',
  logos: {
    lion: 'Löwe', cat: 'Katze', turtle: 'Schildkröte', rabbit: 'Hase',
    owl: 'Eule', fox: 'Fuchs', octopus: 'Krake', bee: 'Biene',
  },
  received: 'Bestellt',
  waiting: 'Wartet',
  mixing: 'Wird gemixt',
  ready: 'Fertig',
  nobody: 'Niemand wartet',

  // Das Formular
  title: 'Drink bestellen',
  chooseDrink: 'Such dir einen Drink aus',
  chooseLogo: 'Wähl dein Logo',
  logoHint: 'Daran erkennst du dein Glas.',
  yourName: 'Dein Name',
  order: 'Bestellen',
  orderDrink: (drink) => `${drink} bestellen`,
  notMade: 'Das macht hier gerade kein Roboter',
  chosenNotMade: (drink) => `${drink} macht hier gerade kein Roboter. Such dir bitte etwas anderes aus.`,
  chosenIsBack: (drink) => `${drink} gibt es jetzt wieder.`,

  // Die Bestellung
  yourOrders: 'Deine Bestellungen',
  orderNumber: 'Bestellung',
  forName: (name) => `für ${name}`,
  progress: 'Fortschritt',
  aheadShort: (n) => (n ? `${n} vor dir` : 'Als Nächstes'),
  about: (lowMin, highMin) => `etwa ${lowMin < highMin ? `${lowMin}–${highMin}` : highMin} Min.`,
  late: 'Dauert länger als sonst',
  // Nach Grund; wer hinter anderen steht, erfährt, wie viele es sind
  whyWaiting: {
    paused: 'Die Bar macht kurz Pause. Du behältst deinen Platz.',
    no_worker: 'Gerade ist kein Roboter im Dienst. Du behältst deinen Platz.',
    no_able_worker: 'Das macht hier gerade kein Roboter. Du behältst deinen Platz, bis einer kommt.',
    worker_aside: 'Der Roboter, der das macht, ist gerade außer Dienst. Du behältst deinen Platz.',
    matching: 'Ein Roboter macht sich gerade für deinen Drink bereit.',
  },
  doubt: 'Der Roboter meldet sich nicht. Wir sehen nach.',
  cancel: 'Stornieren',
  share: 'Teilen',
  another: 'Noch ein Drink',
  again: 'Neu bestellen',
  notify: 'Benachrichtigen',
  sendNow: 'Jetzt senden',
  discard: 'Verwerfen',
  copied: 'Link kopiert',
  shareLink: 'Link zu dieser Bestellung',
  confirmCancel: 'Bestellung stornieren?',
  confirmText: 'Du verlierst deinen Platz in der Schlange.',
  yesCancel: 'Ja, stornieren',
  keep: 'Behalten',
  tooLate: 'Zu spät: Dein Drink wird schon gemixt.',
  tryAgain: 'Das hat nicht geklappt. Bitte versuch es noch einmal.',
  reconnecting: 'Verbindung verloren. Wir versuchen es weiter …',
  offline: 'Du bist offline.',
  // Nach Phase (siehe order/tracked_order.js); `unserved` und `paused` statt `waiting`: siehe order/ticket.js
  head: {
    sending: 'Bestellung wird gesendet …',
    unsent: 'Noch nicht gesendet',
    unsentTooLong: 'Noch durstig?',
    rejected: 'Die Bar konnte deine Bestellung nicht annehmen',
    loading: 'Bestellung wird gesucht …',
    waiting: (n) => (n ? `Noch ${n} vor dir` : 'Du bist als Nächstes dran'),
    unserved: 'Wartet auf einen Roboter',
    paused: 'Wartet auf die Bar',
    assigned: 'Wird gemixt',
    done: 'Fertig!',
    failed: 'Da ist etwas schiefgelaufen',
    cancelled: 'Storniert',
    gone: 'Diese Bestellung gibt es nicht mehr',
  },
  // Auch nach Phase; `busy` und `closed` sagen mehr zu `unsent` und `rejected`: siehe order/ticket.js
  note: {
    unsent: 'Sie wird gesendet, sobald die Verbindung wieder steht.',
    busy: 'An der Bar ist viel los. Wir versuchen es weiter.',
    unsentTooLong: 'Deine Bestellung wurde nicht gesendet. Jetzt senden?',
    done: 'Komm an die Bar und such dein Logo.',
    rejected: 'Bitte frag an der Bar nach.',
    closed: 'Bestellen kannst du nur mit dem Code an der Bar. Bitte scanne ihn noch einmal.',
    failed: 'Tut uns leid, wir konnten deinen Drink nicht mixen. Bitte frag an der Bar nach.',
    cancelled: 'Dein Drink wird nicht gemixt.',
  },
  spoken: (n, text) => `Bestellung ${n}: ${text}`,

  // Die Warteschlange
  queue: 'Die Warteschlange',
  more: (n) => `+${n} weitere`,

  // Die Anzeige
  board: 'Bestellungen',
  next: 'Als Nächstes',
  scan: 'Hier bestellen',
  nothingReady: 'Noch kein Drink fertig',
  nothingMixing: 'Die Shaker ruhen sich aus',
  readyOthers: 'Auch fertig',
  boardStale: 'Verbindung verloren. Die Anzeige ist vielleicht veraltet.',
  boardPaused: 'Die Bar macht kurz Pause',
  boardNoRobot: 'Gerade ist kein Roboter im Dienst',
};
