import { $, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';

/**
 * Ask for the operator token.
 * @param {string} [problem] why the last one was refused: the key of a text
 * @param {(token: string) => void} signIn
 */
export function askForToken(problem, signIn) {
  const field = $('token');
  $('sign-in').hidden = false;
  say($('refused'), problem ? t(problem) : '');
  field.setAttribute('aria-invalid', Boolean(problem));
  field.value = '';
  field.focus();
  $('sign-in-form').onsubmit = (event) => {
    event.preventDefault();
    say($('refused'), '');
    signIn(field.value.trim());
  };
}
