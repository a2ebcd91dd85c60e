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

/**
 * Receive frames as an event stream, for networks that block websockets. Over HTTP/1.1 browsers open six connections to
 * a service, for all tabs together: if streams take them all, no order can be sent. So what comes after a few is asked
 * for again and again.
 */
export function eventStream(base, query, onFrame, onClosed) {
  const url = serviceUrl(`${base}state?${query}`);
  const isPast = query.has('moment'); // only a stream goes on through the past
  return (isPast || streams < MOST_STREAMS ? stream : looks)(url, onFrame, onClosed);
}

const MOST_STREAMS = 2;
const LOOK_AGAIN_MS = 3_000;
const TIMEOUT_MS = 10_000;
let streams = 0;

function stream(url, onFrame, onClosed) {
  const source = new EventSource(url);
  let over = false;
  streams += 1;
  const hangUp = () => {
    if (!over) streams -= 1;
    over = true;
    source.close();
  };
  source.onmessage = (event) => over || onFrame(JSON.parse(event.data));
  source.onerror = async () => {
    source.close(); // or it would reconnect by itself: Connection decides when, and by which transport
    // It does not say why it failed; a plain request does. Where that is answered, the stream just broke.
    const { code } = await look(url);
    if (!over) onClosed(code);
  };
  return hangUp;
}

function looks(url, onFrame, onClosed) {
  let over = false;
  let timer;
  const again = async () => {
    const { frame, code } = await look(url);
    if (over) return;
    if (!frame) return onClosed(code);
    timer = setTimeout(again, LOOK_AGAIN_MS);
    onFrame(frame);
  };
  again();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}

// What a proxy says while the service restarts is not a refusal of ours.
async function look(url) {
  try {
    const answer = await fetch(url, { headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const { ok, status, headers } = answer;
    if (ok) return { frame: await answer.json(), code: ABNORMAL };
    const isRefusal = headers.get('Content-Type')?.startsWith('application/problem+json') && !isTemporary(status);
    return { code: isRefusal || status >= 500 ? 4000 + status : ABNORMAL };
  } catch {
    return { code: ABNORMAL };
  }
}
