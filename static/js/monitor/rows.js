/**
 * Keeps the children of an element in step with a list. A row is redrawn only when its value is
 * another object, and the keyboard focus stays where it was.
 */
export class Rows {
  #rows = new Map();
  #look = '';

  /**
   * @param {HTMLElement} parent
   * @param {(value: object, key: string) => HTMLElement} draw
   * @param {HTMLElement} home gets the focus when the last row that had it goes
   */
  constructor(parent, draw, home) {
    this.parent = parent;
    this.draw = draw;
    this.home = home;
  }

  /**
   * @param {[string|number, object][]} items what to show, in this order
   * @param {string} [look] what else the rows depend on: when it changes, all are redrawn
   */
  show(items, look = '') {
    const focus = this.#focus();
    if (look !== this.#look) this.#rows = new Map();
    this.#look = look;
    const rows = new Map(items.map(([key, value]) => [key, this.#row(key, value)]));
    this.#rows = rows;
    const nodes = [...rows.values()].map(({ node }) => node);
    if (!this.#isSame(nodes)) this.parent.replaceChildren(...nodes);
    if (focus) this.#refocus(focus, nodes);
  }

  #row(key, value) {
    const old = this.#rows.get(key);
    return old?.value === value ? old : { value, node: this.draw(value, key) };
  }

  #isSame(nodes) {
    const { children } = this.parent;
    return nodes.length === children.length && nodes.every((node, i) => node === children[i]);
  }

  #focus() {
    const active = document.activeElement;
    if (!this.parent.contains(active) || active === this.parent) return null;
    const [key] = [...this.#rows].find(([, { node }]) => node.contains(active)) ?? [];
    return { active, key, at: [...this.parent.children].findIndex((node) => node.contains(active)) };
  }

  // Moving an element takes the focus away from it, too.
  #refocus({ active, key, at }, nodes) {
    if (document.activeElement === active) return;
    const row = this.#rows.get(key)?.node ?? nodes[Math.min(at, nodes.length - 1)];
    const target = row?.contains(active) ? active : this.#counterpart(row, active);
    (target ?? this.home).focus({ preventScroll: true });
  }

  #counterpart(row, { dataset }) {
    return row?.querySelector(`[data-act="${dataset.act}"]`) ?? row?.querySelector('button, a');
  }
}
