// Pages and the service worker are in public/, one folder below the service. Relative, so that any path prefix works.
const BASE = new URL('../', globalThis.document?.baseURI ?? location.href);

/** The address of a path of the service, e.g. `submit-job`. */
export const serviceUrl = (path) => new URL(path, BASE);

/**
 * The key under which a browser keeps a value of this bar, or of the one at `base`: with its path, unless it is at the
 * root, since several bars may have one origin.
 */
export const keyOf = (name, { pathname } = BASE) => (pathname === '/' ? name : pathname + name);

/** The same address, for a websocket. */
export function socketUrl(path) {
  const url = serviceUrl(path);
  url.protocol = url.protocol.replace('http', 'ws');
  return url;
}
