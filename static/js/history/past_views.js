import { $, el, isFocusLost, say } from '../shared/dom.js';
import { Problem } from '../shared/http.js';
import { learn, t } from '../shared/i18n.js';
import { loadStyle } from '../monitor/load_style.js';
import * as order from './order_view.js';
import * as robot from './robot_view.js';
import { SearchForm } from './search_form.js';
import * as search from './search_view.js';
import { SpanForm } from './span_form.js';
import * as statistics from './statistics_view.js';

/** Load the texts and the style of the views that look back. @param {object} context that of Views */
export async function openPastViews(context) {
  await Promise.all([learn('history/words'), loadStyle('css/history.css')]);
  return new PastViews(context);
}

/** Shows a form, and below it what the page's address asks for. */
class PastViews {
  #context;
  /** `ask` gets the data for an address, `draw` makes the elements that show it. */
  #views;
  #status = el('p', { className: 'panel hint', role: 'status' });
  #wrong = el('p', { className: 'panel refused', role: 'alert' });
  #found = el('div', { className: 'found' });

  constructor(context) {
    const form = new SearchForm();
    this.#context = context;
    this.#views = {
      history: { form, ...search },
      order: { form, ...order },
      robot: { form, ...robot },
      statistics: { form: new SpanForm(), ...statistics },
    };
  }

  /**
   * @param {string} view one of history, order, robot, statistics
   * @param {Object<string, string>} args those of its address
   */
  async show(view, args) {
    const { form, ask, draw } = this.#views[view];
    const address = location.hash;
    const isCurrent = () => location.hash === address && !$('past').hidden;
    this.#begin(form, args);
    try {
      const answer = await ask(args);
      if (!isCurrent()) return;
      this.#found.replaceChildren(...draw(answer, args, this.#context));
      say(this.#status, '');
    } catch (problem) {
      if (isCurrent()) this.#fail(problem);
    }
    if (isFocusLost()) this.#found.querySelector('h2')?.focus();
  }

  // A form is not put there again: it would lose the focus.
  #begin(form, args) {
    if ($('past').firstElementChild !== form.node) {
      $('past').replaceChildren(form.node, this.#wrong, this.#status, this.#found);
    }
    form.fill(args);
    say(this.#wrong, '');
    say(this.#status, t('history.asking'));
    this.#found.replaceChildren();
  }

  #fail(problem) {
    if (!(problem instanceof Problem)) throw problem;
    say(this.#status, '');
    if (problem.status === 401) this.#context.unauthorized();
    else say(this.#wrong, explain(problem));
  }
}

function explain({ status, message }) {
  if (!status) return t('notLooked');
  return status === 503 ? t('history.tooLong') : t('history.refused', message);
}
