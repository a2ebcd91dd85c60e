import { $ } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { keep, recall } from '../shared/storage.js';
import { ACTS } from './actions.js';

/** The name that was given last. */
export const lastWho = () => recall('operator', '');

/**
 * Ask whether an act is meant. Where nothing takes it back, the focus is on the button that does no
 * harm: who presses Enter twice has done nothing.
 * @returns {Promise<{why: string, who: string}|null>} null for no
 */
export function ask(name, label) {
  const dialog = $('ask');
  $('ask-title').textContent = t(`ask.${name}`, label);
  $('ask-text').textContent = t(`consequence.${name}`);
  $('yes').textContent = t(`yes.${name}`);
  $('why').value = '';
  $('who').value = lastWho();
  dialog.returnValue = '';
  dialog.showModal();
  const isFinal = !ACTS[name].undo;
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
