/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** A new element; strings among the children become text, never markup. */
export function el(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
}

/** Set a text, quietly when it is already there: a live region would speak again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** True while the keyboard is nowhere: what had the focus has gone, or is hidden. */
export function isFocusLost() {
  const active = document.activeElement;
  return !active || active === document.body || !active.checkVisibility();
}

/** Set a picture without loading it again. */
export function show(img, src) {
  if (img.getAttribute('src') !== src) img.src = src;
}

/** The second click of a double click was meant for what was there before the first. */
export function ignoreDoubleClicks() {
  addEventListener('click', (event) => {
    if (event.detail < 2) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, { capture: true });
}
