import { $ } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { toast } from './toast.js';

/** Copy the whole view as JSON; where the clipboard is not allowed, show it for copying by hand. */
export async function copyAsJson({ at, entries }) {
  const json = JSON.stringify({ at, entries }, null, 2);
  try {
    await navigator.clipboard.writeText(json);
    toast(t('copiedJson'));
  } catch {
    $('json').value = json;
    $('copied').showModal();
    $('json').select();
  }
}
