import { chime } from '../shared/chime.js';
import { lang, t } from '../shared/i18n.js';

/** Older news is not said: after a break the board would talk about drinks that were fetched long ago. */
const NEWS_S = 60;
/** Some browsers never say that they have finished. */
const LONGEST_SPEECH_MS = 10_000;

/** Says which orders become ready from now on: a chime, then the number, one order at a time. */
export class Announcer {
  #now;
  #known;
  /** The end of what is being said, and is still to be said. */
  #end;
  #isOver = false;

  /**
   * It chimes once.
   * @param {() => number} now the server's time in seconds
   * @param {{n: number}[]} ready the orders that are ready already
   */
  constructor(now, ready) {
    this.#now = now;
    this.#known = numbers(ready);
    this.#end = chime();
  }

  /** Announce those that were not ready the last time. @param {{n: number, t: number}[]} ready newest first */
  hear(ready) {
    const news = ready.filter(({ n }) => !this.#known.has(n)).reverse();
    this.#known = numbers(ready);
    for (const order of news) this.#end = this.#end.then(() => this.#say(order));
  }

  /** Fall silent, in the middle of a sentence too. */
  stop() {
    this.#isOver = true;
    window.speechSynthesis?.cancel();
  }

  async #say({ n, t: since }) {
    if (this.#isOver || this.#now() - since > NEWS_S) return;
    await chime();
    if (!this.#isOver) await speak(t('announce', n));
  }
}

const numbers = (orders) => new Set(orders.map(({ n }) => n));

async function speak(text) {
  if (!window.speechSynthesis) return;
  const sentence = Object.assign(new SpeechSynthesisUtterance(text), { lang });
  await new Promise((resolve) => {
    sentence.onend = sentence.onerror = resolve;
    setTimeout(resolve, LONGEST_SPEECH_MS);
    speechSynthesis.speak(sentence);
  });
  speechSynthesis.cancel();
}
