import { lang } from '../shared/i18n.js';
import { el, say } from '../shared/dom.js';

const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
const two = (n) => String(n).padStart(2, '0');

/** Seconds as people read them on a clock: `0:42`, `12:05`, `3:04:05`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** The time of day of Unix seconds. */
export const timeOfDay = (t) => clock.format(t * 1000);

/** A text that counts how long it has been since then. */
export function elapsed(since) {
  const node = el('span', { className: 'elapsed', title: timeOfDay(since) });
  node.dataset.since = since;
  return node;
}

/** Let all of them show the time that it is now. */
export function tick(now) {
  for (const node of document.querySelectorAll('[data-since]')) say(node, duration(now - node.dataset.since));
}
