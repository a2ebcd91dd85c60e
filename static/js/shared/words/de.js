/**
 * Die Texte der Bestellseite und der Anzeige; order/words hat die einer Bestellung. Der Monitor lädt sie auch, und
 * ergänzt seine eigenen (monitor/words). Gäste werden geduzt.
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
  onlyWithCode: 'Zum Bestellen scanne bitte den Code an der Bar.',

  // Die Bestellung
  yourOrders: 'Deine Bestellungen',
  orderNumber: 'Bestellung',
  forName: (name) => `für ${name}`,
  progress: 'Fortschritt',
  howFar: 'Wie weit der Drink ist',
  percent: (n) => `${n} %`,
  doubt: 'Der Roboter meldet sich nicht. Wir sehen nach.',
  cancel: 'Stornieren',
  share: 'Teilen',
  another: 'Noch etwas bestellen',
  notify: 'Benachrichtigen',
  sendNow: 'Jetzt senden',
  discard: 'Verwerfen',
  copied: 'Link kopiert',
  shareLink: 'Link zu dieser Bestellung',
  confirmCancel: 'Bestellung stornieren?',
  yesCancel: 'Ja, stornieren',
  keep: 'Behalten',
  tryAgain: 'Das hat nicht geklappt. Bitte versuch es noch einmal.',
  reconnecting: 'Verbindung verloren. Wir verbinden neu …',
  offline: 'Du bist offline.',

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
  sound: 'Ton',
  announce: (n) => `Nummer ${n} ist fertig`,
  boardStale: 'Verbindung verloren. Die Anzeige ist vielleicht veraltet.',
  boardPaused: 'Die Bar macht kurz Pause',
  boardNoRobot: 'Gerade ist kein Roboter im Dienst',
};
