import { t } from '../shared/i18n.js';
import { drinkName } from '../shared/menu.js';

/**
 * Say in words which orders a robot takes.
 * @param {string} [rule] as in core/rules.py: `match.drink=mojito|negroni&not.size=xl`
 */
export function describeRule(rule = '') {
  return [...new URLSearchParams(rule)].map(describeCondition).join('; ');
}

function describeCondition([name, value]) {
  const [kind, ...members] = name.split('.');
  const member = members.join('.');
  const values = alternatives(value);
  if (member === 'drink') return t(`rule.drink.${kind}`, values.map(drinkName).join(', '));
  return t(`rule.other.${kind}`, member, values.join(', '));
}

// Between alternatives is one bar; two are a bar within one.
const alternatives = (value) => value.replaceAll('||', '\0').split('|').map((one) => one.replaceAll('\0', '|'));
