/** Find the element with this id. */
export const $ = (id) => document.getElementById(id);

/** Create an element; strings among the children become text, never markup. */
export function el(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}

/** Set a text unless it is there already: a live region would be read out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Whether nothing visible has the focus. */
export function isFocusLost() {
  const active = document.activeElement;
  return !active || active === document.body || !active.getClientRects().length;
}

/** Set a picture unless it is there already: it would be loaded again. */
export function show(img, src) {
  if (img.getAttribute('src') !== src) img.src = src;
}

/** Ignore a double click's second click, as another button may be there by then; not on one that `repeats`. */
export function ignoreDoubleClicks() {
  addEventListener('click', (event) => {
    if (event.detail < 2 || event.target.dataset.repeats) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, { capture: true });
}
