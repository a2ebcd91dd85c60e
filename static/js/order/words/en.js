/** Texts of an order under way and of its notifications. The page loads them after the form was painted. */
export const words = {
  aheadShort: (n) => (n ? `${n} ahead` : 'Next'),
  about: (lowMin, highMin) => `about ${lowMin < highMin ? `${lowMin}–${highMin}` : highMin} min`,
  late: 'Taking longer than usual',
  // By reason; the headline says how many are ahead
  whyWaiting: {
    paused: 'The bar is taking a short break. You keep your place.',
    no_worker: 'No robot is on duty right now. You keep your place.',
    no_able_worker: 'No robot can make this right now. You keep your place until one can.',
    worker_aside: 'The robot that makes this is out of service right now. You keep your place.',
    matching: 'A robot is getting ready for your drink.',
  },
  stopping: 'If it’s too late, you’ll get your drink as usual.',
  readyAnyway: 'It was too late to cancel.',
  again: 'Order again',
  confirmText: 'You’ll lose your place in the queue.',
  confirmStop: 'We’ll ask the robot to stop. If it’s too late, you’ll get your drink as usual.',
  tooLate: 'Too late to cancel: your drink is already being mixed.',
  // By phase (see order/tracked_order.js); `unserved`, `paused` and `stopping`: see order/ticket.js
  head: {
    sending: 'Sending your order…',
    unsent: 'Not sent yet',
    unsentTooLong: 'Still thirsty?',
    rejected: 'The bar couldn’t take your order',
    loading: 'Looking for your order…',
    waiting: (n) => (n ? `${n} ahead of you` : 'You are next'),
    unserved: 'Waiting for a robot',
    paused: 'Waiting for the bar',
    assigned: 'Being mixed',
    stopping: 'Asking the robot to stop…',
    done: 'Ready!',
    failed: 'Something went wrong',
    cancelled: 'Cancelled',
    gone: 'This order no longer exists',
  },
  // By phase, too; `busy` says more of `unsent`: see order/ticket.js
  note: {
    unsent: 'It will be sent as soon as the connection is back.',
    busy: 'The bar is very busy. We’ll keep trying.',
    unsentTooLong: 'Your order was not sent. Send it now?',
    done: 'Come to the bar and look for your logo.',
    rejected: 'Please ask at the bar.',
    failed: 'Sorry, we couldn’t make your drink. Please ask at the bar.',
    cancelled: 'Your drink will not be made.',
  },
  spoken: (n, text) => `Order ${n}: ${text}`,
  asOf: (time) => `As of ${time}.`,
  // Why a customer is notified only while the page is open, or how
  notified: {
    on: 'We’ll notify you, even if you close this page.',
    insecure: 'To be notified, keep this page open: this bar has no HTTPS.',
    unreachable: 'To be notified, keep this page open: the internet can’t be reached.',
    unsupported: 'To be notified, keep this page open: this browser can’t do it otherwise.',
    refused: 'To be notified, keep this page open: the bar can’t send messages to this browser.',
    denied: 'Notifications are blocked. Allow them in the browser’s settings, or keep this page open.',
    homeScreen: 'To be notified, add this page to your home screen: tap Share, then “Add to Home Screen”.',
  },
};
