/**
 * Texts of the order page and the board; order/words has those of an order under way. The monitor loads them too,
 * and adds its own (monitor/words).
 */
export const words = {
  brand: 'Robot Bar',
  logos: {
    lion: 'Lion', cat: 'Cat', turtle: 'Turtle', rabbit: 'Rabbit',
    owl: 'Owl', fox: 'Fox', octopus: 'Octopus', bee: 'Bee',
  },
  received: 'Received',
  waiting: 'Waiting',
  mixing: 'Being mixed',
  ready: 'Ready',
  nobody: 'Nobody is waiting',

  // The form
  title: 'Order a drink',
  chooseDrink: 'Choose your drink',
  chooseLogo: 'Pick your logo',
  logoHint: 'It marks your glass so you can find it.',
  yourName: 'Your name',
  order: 'Order',
  orderDrink: (drink) => `Order ${drink}`,
  notMade: 'No robot can make this right now',
  chosenNotMade: (drink) => `No robot can make ${drink} right now. Please choose another drink.`,
  chosenIsBack: (drink) => `${drink} is available again.`,
  onlyWithCode: 'To order, please scan the code at the bar.',

  // The ticket
  yourOrders: 'Your orders',
  orderNumber: 'Order',
  forName: (name) => `for ${name}`,
  progress: 'Progress',
  howFar: 'How far along it is',
  percent: (n) => `${n} %`,
  doubt: 'The robot is not responding. We’re looking into it.',
  cancel: 'Cancel',
  share: 'Share',
  another: 'Order another',
  notify: 'Notify me',
  sendNow: 'Send now',
  discard: 'Discard',
  copied: 'Link copied',
  shareLink: 'Link to this order',
  confirmCancel: 'Cancel this order?',
  yesCancel: 'Yes, cancel it',
  keep: 'Keep it',
  tryAgain: 'That did not go through. Please try again.',
  reconnecting: 'Connection lost. Reconnecting…',
  offline: 'You are offline.',

  // The queue
  queue: 'The queue',
  more: (n) => `+${n} more`,

  // The board
  board: 'Orders',
  next: 'Next',
  scan: 'Order here',
  nothingReady: 'No drinks ready yet',
  nothingMixing: 'The shakers are resting',
  readyOthers: 'Also ready',
  sound: 'Sound',
  announce: (n) => `Number ${n} is ready`,
  boardStale: 'Connection lost. This may be out of date.',
  boardPaused: 'The bar is taking a short break',
  boardNoRobot: 'No robot is on duty right now',
};
