import { chime, wake } from './chime.js';

/** The picture of a notification. */
const ICON = 'img/app-192.png';

// The page may have been touched before this script came.
if (navigator.userActivation?.hasBeenActive) wake();
addEventListener('click', wake);

/**
 * Announce something by sound, vibration and, where the page is hidden, a notification.
 * @param {string} text
 * @param {(text: string) => void} [notify] shows the notification
 */
export function signal(text, notify = notifyHere) {
  chime();
  if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.([200, 100, 200, 100, 400]);
  if (document.hidden && mayNotify()) notify(text);
}

/** Whether the browser was asked, and allows notifications. */
export const mayNotify = () => window.Notification?.permission === 'granted';

/** Show a notification of this page, without a service worker. */
export function notifyHere(text) {
  // Some phones allow notifications from service workers only, and throw.
  try { new Notification(text, { icon: ICON, tag: text }); } catch { /* sound and vibration remain */ }
}
