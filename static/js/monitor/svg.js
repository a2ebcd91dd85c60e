/** Create a text of an SVG picture. */
export const label = (kind, x, y, text) => shape('text', kind, { x, y }, text);

/**
 * Create an element of an SVG picture.
 * @param {string} tag
 * @param {string} kind its class
 * @param {Object<string, string|number>} attributes
 * @param {string} [text] the content of a `text` element, the tooltip of any other
 */
export function shape(tag, kind, attributes, text = '') {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  node.setAttribute('class', kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (tag === 'text') node.textContent = text;
  else if (text) node.append(title(text));
  return node;
}

function title(text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', 'title');
  node.textContent = text;
  return node;
}
