import { Connection } from '../shared/connection.js';
import { greyOut } from './form.js';

/** Keeps the form's menu in step with the robots. It follows the board only while the form is shown. */
export class LiveMenu {
  #isWanted = false;
  #board = null;

  /** @param {boolean} wanted */
  follow(wanted) {
    this.#isWanted = wanted;
    if (wanted) this.#board ??= new Connection({ view: 'board' }, ({ view }) => this.#heard(view)).open();
    else if (this.#board) this.#heard(this.#board.view);
  }

  // Browsers complain about a websocket that is closed before it is open, so it is kept until it has been heard.
  #heard({ entries: { bar } }) {
    if (!bar) return;
    if (this.#isWanted) return greyOut(bar.unavailable, bar.robots);
    const board = this.#board;
    this.#board = null;
    board?.close();
  }
}
