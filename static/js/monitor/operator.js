import { $, el, isFocusLost } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { ACTIONS, perform } from './actions.js';
import { confirmAction, lastWho } from './confirm.js';
import { toast } from './toast.js';

/** Carries out an operator's actions: confirms, performs and reports them, and offers undo. */
export class Operator {
  /** Whether there is nothing to act on, since the past is shown. */
  isIdle = false;

  /** @param {() => void} unauthorized called when the token is no longer valid */
  constructor(unauthorized) {
    this.unauthorized = unauthorized;
  }

  /**
   * @param {string} name one of ACTIONS
   * @param {{id?: string, callback?: string, label?: string|number, priority?: number}} target
   */
  async act(name, target = {}) {
    const answer = ACTIONS[name].asks ? await confirmAction(name, target) : { why: '', who: lastWho() };
    returnFocus(name, target);
    if (answer) await this.#do(name, target, answer);
  }

  /** Create buttons for actions; none where the past is shown. */
  buttons(names, target) {
    return this.isIdle ? [] : names.map((name) => this.button(name, target));
  }

  /** Create a button for an action. */
  button(name, target) {
    const props = { type: 'button', className: 'button small', onclick: () => this.act(name, target) };
    const button = el('button', props, t(`acts.${name}`));
    button.dataset.act = name;
    button.setAttribute('aria-label', t(`act.${name}`, target.label));
    return button;
  }

  async #do(name, target, answer) {
    let done;
    try {
      done = await perform(name, target, answer);
    } catch (problem) {
      return this.#failed(problem);
    }
    const { undo } = ACTIONS[name];
    const before = { ...target, priority: answer.priority };
    const again = { why: t('undone'), who: answer.who, priority: target.priority };
    toast(t(`did.${done}`, target.label, answer.priority), undo && (() => this.#do(undo, before, again)));
  }

  #failed({ status, message }) {
    if (status === 401) this.unauthorized();
    else toast('', null, status ? t('refusedAct', message) : t('unreached'));
  }
}

// By now the button that was pressed may have been redrawn or removed.
function returnFocus(name, { label, id, callback }) {
  if (!isFocusLost()) return;
  const twin = [...document.querySelectorAll(`[data-act="${name}"]`)]
    .find((button) => button.getAttribute('aria-label') === t(`act.${name}`, label));
  const home = id ? 'orders-title' : callback ? 'workers-title' : 'title';
  (twin ?? $(home)).focus({ preventScroll: true });
}
