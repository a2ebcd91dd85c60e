/** Texts of the page for people behind the bar. */
export const words = {
  behindTheBar: 'Behind the bar',
  token: 'Worker token',
  whatYouMake: 'What do you make?',
  whatYouMakeHint: 'Choose nothing to take every order.',
  start: 'Start',
  sound: 'Sound',
  stop: 'Finish',
  stopAfter: 'Finish after this order',
  behind: (name) => `Behind the bar: ${name}`,

  // The connection, by status
  link: { connecting: 'Connecting…', live: 'Connected', stale: 'Reconnecting…' },
  reconnecting: 'The connection is lost. It comes back by itself.',

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
    waiting: 'You are in the line.',
    cancelling: 'Stop if you can.',
    missed: 'You did not accept this order in time. It is back in the line.',
    lost: 'It was cancelled, or went back into the line because nothing was heard of you for too long.',
    away: 'Another tablet works under your name.',
  },
  tooLate: (n) => `Order ${n} went to someone else.`,
  notTaken: (n) => `Order ${n} was no longer yours.`,
  wrongToken: 'This token is not valid. Please use the link that you were given.',
  refused: (detail) => `The service says no: ${detail}`,

  number: (n) => `Order ${n}`,
  wish: (name, value) => `${name}: ${value}`,
  howFar: 'How far are you?',
  percent: (n) => `${n}\u00a0%`,
  acts: {
    accept: 'Accept',
    ready: 'Ready',
    cannot: 'Cannot',
    notMade: 'I stopped',
    here: 'I am here',
    next: 'Next order',
    takeOver: 'Work here',
    leave: 'Change name',
  },

  cannotTitle: 'What should happen to this order?',
  why: 'Reason (optional)',
  noReason: 'cannot be made here',
  stopped: 'stopped for the customer',
  someoneElse: 'Someone else makes it',
  nobodyCan: 'It cannot be made',
  goOn: 'Go on making it',
};
