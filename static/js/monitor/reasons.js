import { t } from '../shared/i18n.js';

/**
 * Why an order waits, for operators; empty if it only waits for its turn, as most do.
 * @param {{reason: string, needs?: Object<string, string>}} [why] as in live/why.py
 */
export function reasonToWait({ reason, needs = {} } = {}) {
  const needed = Object.entries(needs).map(([member, value]) => `${member}: ${value}`).join(', ');
  return t(`waitsBecause.${reason}`, needed);
}
