import { $, el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { keep, recall } from '../shared/storage.js';
import { ACTIONS, PRIORITIES } from './actions.js';

/** The operator's name as it was entered last. */
export const lastWho = () => recall('operator', '');

/**
 * Ask for confirmation. Where there is no undo, the focus starts on the harmless button, so that
 * pressing Enter twice does nothing.
 * @param {string} name one of ACTIONS
 * @param {{label?: string|number, priority?: number}} target what the action is on
 * @returns {Promise<{why: string, who: string, priority?: number}|null>} null for no
 */
export function confirmAction(name, { label, priority }) {
  const dialog = $('ask');
  $('ask-title').textContent = t(`ask.${name}`, label);
  $('ask-text').textContent = t(`consequence.${name}`);
  $('yes').textContent = t(`yes.${name}`);
  $('why').value = '';
  $('who').value = lastWho();
  $('ask-why').hidden = $('ask-who').hidden = Boolean(ACTIONS[name].isUnsigned);
  $('ask-priority').hidden = name !== 'priority';
  if (name === 'priority') $('priority').replaceChildren(...PRIORITIES.map((one) => option(one, priority)));
  dialog.returnValue = '';
  dialog.showModal();
  const isFinal = !ACTIONS[name].undo;
  $('yes').classList.toggle('primary', !isFinal);
  $('no').classList.toggle('primary', isFinal);
  $(name === 'priority' ? 'priority' : isFinal ? 'no' : 'why').focus();
  return new Promise((resolve) => { dialog.onclose = () => resolve(answer(dialog)); });
}

function option(priority, chosen) {
  return el('option', { value: priority, selected: priority === chosen }, t('priorityName', priority));
}

function answer({ returnValue }) {
  if (returnValue !== 'yes') return null;
  const [why, who] = [$('why').value, $('who').value];
  keep('operator', who);
  return $('ask-priority').hidden ? { why, who } : { why, who, priority: Number($('priority').value) };
}
