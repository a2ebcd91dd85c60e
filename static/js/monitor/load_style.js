import { el } from '../shared/dom.js';

/** Load a stylesheet; resolves once it applies. */
export function loadStyle(href) {
  const link = el('link', { rel: 'stylesheet', href });
  return new Promise((resolve, reject) => {
    Object.assign(link, { onload: resolve, onerror: reject });
    document.head.append(link);
  });
}
