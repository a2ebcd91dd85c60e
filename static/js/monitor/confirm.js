import { $ } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { keep, recall } from '../shared/storage.js';
import { ACTIONS } from './actions.js';

/** The operator's name as it was entered last. */
export const lastWho = () => recall('operator', '');

/**
 * Ask for confirmation. Where there is no undo, the focus starts on the harmless button, so that
 * pressing Enter twice does nothing.
 * @returns {Promise<{why: string, who: string}|null>} null for no
 */
export function confirmAction(name, label) {
  const dialog = $('ask');
  $('ask-title').textContent = t(`ask.${name}`, label);
  $('ask-text').textContent = t(`consequence.${name}`);
  $('yes').textContent = t(`yes.${name}`);
  $('why').value = '';
  $('who').value = lastWho();
  dialog.returnValue = '';
  dialog.showModal();
  const isFinal = !ACTIONS[name].undo;
  $('yes').classList.toggle('primary', !isFinal);
  $('no').classList.toggle('primary', isFinal);
  $(isFinal ? 'no' : 'why').focus();
  return new Promise((resolve) => { dialog.onclose = () => resolve(answer(dialog)); });
}

function answer({ returnValue }) {
  if (returnValue !== 'yes') return null;
  const [why, who] = [$('why').value, $('who').value];
  keep('operator', who);
  return { why, who };
}
