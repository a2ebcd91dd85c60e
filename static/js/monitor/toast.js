import { $ } from '../shared/dom.js';

/**
 * Say what was done and offer to undo it, or say what went wrong. It stays until the next message,
 * so that there is no hurry.
 */
export function toast(text, undo = null, wrong = '') {
  $('said').textContent = text;
  $('wrong').textContent = wrong;
  offer('undo', undo && (() => { dismiss(); undo(); }));
  offer('dismiss', dismiss);
}

function offer(id, action) {
  $(id).hidden = !action;
  $(id).onclick = action;
}

function dismiss() {
  const hadFocus = $('toast').contains(document.activeElement);
  $('said').textContent = $('wrong').textContent = '';
  $('undo').hidden = $('dismiss').hidden = true;
  if (hadFocus) $('title').focus({ preventScroll: true });
}
