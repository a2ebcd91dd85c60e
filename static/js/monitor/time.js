import { lang } from '../shared/i18n.js';
import { el, say } from '../shared/dom.js';

const clock = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const two = (n) => String(n).padStart(2, '0');

/** Format seconds: `0:42`, `12:05`, `3:04:05`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Format Unix seconds as a time of day. */
export const timeOfDay = (t) => clock.format(t * 1000);

/** Create an element that shows the time elapsed since `since`; `tick` keeps it up to date. */
export function elapsed(since) {
  const node = el('span', { className: 'elapsed', title: timeOfDay(since) });
  node.dataset.since = since;
  return node;
}

/** Update all elapsed times. */
export function tick(now) {
  for (const node of document.querySelectorAll('[data-since]')) say(node, duration(now - node.dataset.since));
}
