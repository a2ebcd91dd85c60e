import { service, socketUrl } from './service_url.js';

/**
 * Two transports for the same frames. Each takes a query and two callbacks, `frame(object)` and
 * `closed(code)`, and returns a function that closes it without calling back.
 * Codes are the websocket's close codes; 4000 + an HTTP status where the server refused.
 */

/** Receive frames over a websocket. */
export function webSocket(query, frame, closed) {
  const socket = new WebSocket(socketUrl(`live?${query}`));
  socket.onmessage = (event) => frame(JSON.parse(event.data));
  socket.onclose = (event) => closed(event.code);
  return () => {
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
}

/** Receive frames as an event stream, for networks that block websockets. */
export function eventStream(query, frame, closed) {
  const url = service(`state?${query}`);
  const source = new EventSource(url);
  let over = false;
  const hangUp = () => {
    over = true;
    source.close();
  };
  source.onmessage = (event) => over || frame(JSON.parse(event.data));
  source.onerror = async () => {
    source.close();
    const code = await refusal(url);
    if (!over) closed(code);
  };
  return hangUp;
}

// An EventSource does not say why it failed; a plain request does.
async function refusal(url) {
  try {
    const { status } = await fetch(url, { headers: { Accept: 'application/json' } });
    return status >= 400 ? 4000 + status : 1006;
  } catch {
    return 1006;
  }
}
