/** Die Texte einer Bestellung und ihrer Nachrichten. Die Seite lädt sie, wenn das Formular schon zu sehen ist. */
export const words = {
  aheadShort: (n) => (n ? `${n} vor dir` : 'Als Nächstes'),
  about: (lowMin, highMin) => `etwa ${lowMin < highMin ? `${lowMin}–${highMin}` : highMin} Min.`,
  late: 'Dauert länger als sonst',
  // Nach Grund; wie viele noch vor einem sind, sagt die Überschrift
  whyWaiting: {
    paused: 'Die Bar macht kurz Pause. Du behältst deinen Platz.',
    no_worker: 'Gerade ist kein Roboter im Dienst. Du behältst deinen Platz.',
    no_able_worker: 'Das macht hier gerade kein Roboter. Du behältst deinen Platz, bis einer kommt.',
    worker_aside: 'Der Roboter, der das macht, ist gerade außer Dienst. Du behältst deinen Platz.',
    matching: 'Ein Roboter macht sich gerade für deinen Drink bereit.',
  },
  stopping: 'Ist es zu spät, bekommst du deinen Drink wie gewohnt.',
  readyAnyway: 'Zum Stornieren war es zu spät.',
  again: 'Neu bestellen',
  confirmText: 'Du verlierst deinen Platz in der Schlange.',
  confirmStop: 'Wir bitten den Roboter aufzuhören. Ist es zu spät, bekommst du deinen Drink wie gewohnt.',
  tooLate: 'Zu spät: Dein Drink wird schon gemixt.',
  // Nach Phase (siehe order/tracked_order.js); `unserved`, `paused` und `stopping`: siehe order/ticket.js
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
    stopping: 'Der Roboter soll aufhören …',
    done: 'Fertig!',
    failed: 'Da ist etwas schiefgelaufen',
    cancelled: 'Storniert',
    gone: 'Diese Bestellung gibt es nicht mehr',
  },
  // Auch nach Phase; `busy` sagt mehr zu `unsent`: siehe order/ticket.js
  note: {
    unsent: 'Wir senden deine Bestellung, sobald die Verbindung wieder steht.',
    busy: 'An der Bar ist viel los. Wir versuchen es weiter.',
    unsentTooLong: 'Deine Bestellung wurde nicht gesendet. Jetzt senden?',
    done: 'Komm an die Bar und such dein Logo.',
    rejected: 'Bitte frag an der Bar nach.',
    failed: 'Tut uns leid, wir konnten deinen Drink nicht mixen. Bitte frag an der Bar nach.',
    cancelled: 'Dein Drink wird nicht gemixt.',
  },
  spoken: (n, text) => `Bestellung ${n}: ${text}`,
  asOf: (time) => `Stand: ${time} Uhr.`,
  // Wie ein Gast benachrichtigt wird, oder warum nur auf der offenen Seite
  notified: {
    on: 'Wir sagen dir Bescheid, auch wenn du diese Seite schließt.',
    insecure: 'Damit wir dir Bescheid sagen können, lass diese Seite offen: Diese Bar hat kein HTTPS.',
    unreachable: 'Damit wir dir Bescheid sagen können, lass diese Seite offen: Das Internet ist nicht erreichbar.',
    unsupported: 'Damit wir dir Bescheid sagen können, lass diese Seite offen: Mit diesem Browser geht es nur so.',
    refused: 'Damit wir dir Bescheid sagen können, lass diese Seite offen: Die Bar kann diesem Browser nichts schicken.',
    denied: 'Benachrichtigungen sind blockiert. Erlaube sie in den Einstellungen des Browsers oder lass diese Seite offen.',
    homeScreen: 'Damit wir dir Bescheid sagen können: Tipp auf „Teilen“, dann auf „Zum Home-Bildschirm“.',
  },
};
