import { call, Problem } from '../shared/http.js';
import { EMPTY, reduce } from '../shared/live_view.js';
import { bearer, tokenOf } from '../shared/token.js';
import { eventStream, webSocket } from '../shared/transports.js';

const TIMEOUT_MS = 65_000;

/** Format Unix seconds for a query and an address, to the second. */
export const isoOf = (t) => new Date(Math.floor(t) * 1000).toISOString().replace('.000', '');

/** Gets the monitor of the past from the service: one moment, or frames that go on from it. */
export class Player {
  view = EMPTY;
  /** The moment that is shown, in Unix seconds. */
  now = 0;
  #hangUp = () => {};
  #heard;
  #ended;

  /**
   * @param {() => void} heard called after every frame
   * @param {(code: number) => void} ended called when the frames end, with a close code
   */
  constructor(heard, ended) {
    this.#heard = heard;
    this.#ended = ended;
  }

  /** Show a moment. Throws a Problem if the service refuses or cannot be reached. */
  async look(moment) {
    this.stop();
    const query = new URLSearchParams({ view: 'monitor', moment: isoOf(moment) });
    const headers = { Accept: 'application/json', ...bearer(tokenOf('operator-token')) };
    const answer = await call(`state?${query}`, { headers }, TIMEOUT_MS);
    this.#take(await answer.json().catch(() => { throw new Problem(0); }));
  }

  /** Go on from the moment that is shown. */
  play(speed) {
    this.stop();
    this.#open(webSocket, speed, (code) => {
      // Where websockets are blocked, the same frames come as an event stream.
      if (code === 1006) this.#open(eventStream, speed, this.#ended);
      else this.#ended(code);
    });
  }

  /** Stay at the moment that is shown. */
  stop() {
    this.#hangUp();
    this.#hangUp = () => {};
  }

  #open(transport, speed, lost) {
    let isHeard = false;
    const query = new URLSearchParams({
      view: 'monitor', moment: new Date(this.now * 1000).toISOString(), speed, token: tokenOf('operator-token'),
    });
    const heard = (frame) => { isHeard = true; this.#take(frame); };
    this.#hangUp = transport('', query, heard, (code) => (isHeard ? this.#ended : lost)(code));
  }

  #take(frame) {
    this.now = frame.now;
    this.view = reduce(this.view, frame, frame.now);
    this.#heard();
  }
}
