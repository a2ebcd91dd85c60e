import { lang } from '../shared/i18n.js';

const named = new Intl.DateTimeFormat(lang, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const brief = new Intl.DateTimeFormat(lang, { weekday: 'short', day: 'numeric', month: 'short' });
const hourly = new Intl.DateTimeFormat(lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const two = (n) => String(n).padStart(2, '0');

/** The local day of a moment (Unix seconds), as a date field has it: `2024-11-24`. */
export function dayOf(t) {
  const date = new Date(t * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export const today = () => dayOf(Date.now() / 1000);

/** A day from an address; today, or another one, if it is invalid. */
export const dayOr = (text, otherwise = today()) => (text && dayOf(startOf(text)) === text ? text : otherwise);

/** The day that is `days` days later. */
export const later = (day, days) => dayOf(startOf(day, days));

/** When a local day begins, or the one `days` days later, in Unix seconds; NaN for an invalid day. */
export function startOf(day, days = 0) {
  const [year, month, date] = (/^(\d{4})-(\d\d)-(\d\d)$/.exec(day) ?? []).slice(1).map(Number);
  return new Date(year, month - 1, date + days).getTime() / 1000;
}

/** The span from the beginning of a day to the end of the same or a later one, as a query has it. */
export function spanOf(first, last = first) {
  return { from: isoOf(startOf(first)), to: isoOf(startOf(last, 1)) };
}

/** Format Unix seconds as ISO 8601. */
export const isoOf = (t) => new Date(t * 1000).toISOString();

/** Read a time of the service as Unix seconds. */
export const unixOf = (iso) => Date.parse(iso) / 1000;

/** Format a day: `Sunday, November 24, 2024`. */
export const nameOfDay = (day) => named.format(startOf(day) * 1000);

/** Format a day without its year: `Sun, Nov 24`. */
export const shortDay = (day) => brief.format(startOf(day) * 1000);

/** Format Unix seconds as `18:00`. */
export const hourOf = (t) => hourly.format(t * 1000);
