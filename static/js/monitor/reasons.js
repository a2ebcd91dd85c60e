import { t } from '../shared/i18n.js';

/**
 * Why an order waits, for operators; empty if it only waits for its turn, as most do.
 * @param {{reason: string, needs?: Object<string, string>}} [why] as in live/why.py
 */
export function reasonToWait({ reason, needs = {} } = {}) {
  const needed = Object.entries(needs).map(([member, value]) => `${member}: ${value}`).join(', ');
  return t(`waitsBecause.${reason}`, needed);
}

/**
 * How far a robot is with an order, by its own words; empty if it has not said.
 * @param {{percent?: number, text?: string}} [progress]
 */
export function progressInWords({ percent, text } = {}) {
  return [percent !== undefined && t('percent', Math.floor(percent)), text].filter(Boolean).join(': ');
}
