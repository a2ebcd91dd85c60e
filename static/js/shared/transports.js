import { isTemporary } from './http.js';
import { serviceUrl, socketUrl } from './service_url.js';

/**
 * Two transports for the same frames. Each takes the URL of a topic (empty: this one), a query and two callbacks,
 * `onFrame(object)` and `onClosed(code)`, and returns a function that closes it without calling back.
 * Codes are the websocket's close codes; 4000 + an HTTP status where the server refused.
 */

/** The close code of a connection that broke. */
export const ABNORMAL = 1006;

/** Receive frames over a websocket. */
export function webSocket(base, query, onFrame, onClosed) {
  const socket = new WebSocket(socketUrl(`${base}live?${query}`));
  socket.onmessage = (event) => onFrame(JSON.parse(event.data));
  socket.onclose = (event) => onClosed(event.code);
  return () => {
    socket.onmessage = socket.onclose = null;
    socket.close();
  };
}

/** Receive frames as an event stream, for networks that block websockets. */
export function eventStream(base, query, onFrame, onClosed) {
  const url = serviceUrl(`${base}state?${query}`);
  const source = new EventSource(url);
  let over = false;
  const hangUp = () => {
    over = true;
    source.close();
  };
  source.onmessage = (event) => over || onFrame(JSON.parse(event.data));
  source.onerror = async () => {
    source.close(); // or it would reconnect by itself: Connection decides when, and by which transport
    const code = await closeCode(url);
    if (!over) onClosed(code);
  };
  return hangUp;
}

// An EventSource does not say why it failed; a plain request does. Where that is answered, the stream just broke. What a
// proxy says while the service restarts is not a refusal of ours.
async function closeCode(url) {
  try {
    const { status, headers } = await fetch(url, { headers: { Accept: 'application/json' } });
    const isRefusal = headers.get('Content-Type')?.startsWith('application/problem+json') && !isTemporary(status);
    return isRefusal || status >= 500 ? 4000 + status : ABNORMAL;
  } catch {
    return ABNORMAL;
  }
}
