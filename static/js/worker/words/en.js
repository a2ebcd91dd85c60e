/** Texts of the page for people behind the bar. */
export const words = {
  behindTheBar: 'Behind the bar',
  token: 'Worker token',
  whatYouMake: 'Which drinks do you make?',
  whatYouMakeHint: 'Leave empty to take every order.',
  start: 'Start',
  sound: 'Sound',
  stop: 'Finish',
  stopAfter: 'Finish after this order',
  behind: (name) => `Behind the bar: ${name}`,

  // The connection, by status
  link: { connecting: 'Connecting…', live: 'Connected', stale: 'Reconnecting…' },
  reconnecting: 'Connection lost. Reconnecting automatically…',

  // By phase: see worker/shift.js
  headline: {
    waiting: 'Waiting for an order',
    offered: 'New order',
    accepting: 'New order',
    making: 'You are making this',
    cancelling: 'The customer wants to cancel',
    reporting: 'One moment…',
    missed: 'Are you still there?',
    lost: 'This order is no longer yours',
    away: 'Someone else has taken over',
  },
  note: {
    waiting: 'You are in line.',
    cancelling: 'Stop if you can.',
    missed: 'You did not accept this order in time. It is back in the queue.',
    lost: 'It was cancelled, or went back to the queue because we did not hear from you for too long.',
    away: 'Another tablet is signed in under your name.',
  },
  tooLate: (n) => `Order ${n} went to someone else.`,
  notTaken: (n) => `Order ${n} was no longer yours.`,
  noToken: 'You need a token to work here. Please use the link you were given.',
  wrongToken: 'This token is not valid. Please use the link you were given.',
  refused: (detail) => `The service refused: ${detail}`,

  number: (n) => `Order ${n}`,
  wish: (name, value) => `${name}: ${value}`,
  howFar: 'How far along are you?',
  percent: (n) => `${n}\u00a0%`,
  acts: {
    accept: 'Accept',
    ready: 'Ready',
    cannot: 'Can’t make it',
    notMade: 'I stopped',
    here: 'I’m here',
    next: 'Get the next order',
    takeOver: 'Work here',
    leave: 'Change name',
  },

  cannotTitle: 'What should happen to this order?',
  why: 'Reason (optional)',
  noReason: 'can’t be made here',
  stopped: 'stopped at the customer’s request',
  someoneElse: 'Give it to someone else',
  nobodyCan: 'Say it can’t be made',
  goOn: 'Keep making it',
};
