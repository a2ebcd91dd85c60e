/*
 * Loads a page again that cannot start, as a script or its texts could not be loaded: it would stay empty. It tries for
 * as long as it takes, since nobody touches a board, after pauses that double.
 *
 * Not a module, and before everything else: it has to be there when something fails.
 */
{
  const FIRST_MS = 2_000;
  const LONGEST_MS = 60_000;
  const TIMEOUT_MS = 10_000;
  const TEXTS = {
    en: 'This page didn’t load. Trying again…',
    de: 'Die Seite lädt nicht. Neuer Versuch …',
  };
  let trying = null;

  const after = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  const hasStarted = () => document.documentElement.dataset.started === 'true';

  function failed() {
    if (!hasStarted()) trying ??= tryAgain();
  }

  async function tryAgain() {
    await after(FIRST_MS / 2); // the rest of the page arrives; perhaps it starts all the same
    let pause = history.state?.pause ?? FIRST_MS; // kept over a reload, in private windows too
    while (!hasStarted()) {
      say(TEXTS[language()] ?? TEXTS.en);
      await after(pause);
      pause = Math.min(2 * pause, LONGEST_MS);
      if (await isServed() && !hasStarted()) {
        history.replaceState({ pause }, '');
        location.reload();
      }
    }
  }

  const language = () => (new URLSearchParams(location.search).get('lang') ?? navigator.language).slice(0, 2);

  // Where the page says how it is connected, unless that has not come yet.
  function say(text) {
    const node = document.querySelector('[role=status]');
    if (!node) return;
    node.hidden = false;
    node.textContent = text;
  }

  // Without an answer, or with a proxy's, a reload would end this.
  async function isServed() {
    try {
      return (await fetch('', { method: 'HEAD', signal: AbortSignal.timeout(TIMEOUT_MS) })).ok;
    } catch {
      return false;
    }
  }

  // A page works without a style, and may be in use. After as long as the page is open, so these pauses double, too.
  async function renew(style) {
    await after(Math.min(Math.max(performance.now(), FIRST_MS), LONGEST_MS));
    style.replaceWith(style.cloneNode());
  }

  addEventListener('error', ({ target }) => {
    if (target.rel === 'stylesheet' && !target.onerror) renew(target);
    else if (target === window || target.type === 'module') failed();
  }, { capture: true });
  addEventListener('unhandledrejection', failed);
}
