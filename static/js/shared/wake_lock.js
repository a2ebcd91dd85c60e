let lock = null;
let wanted = false;

/** Keep the screen on, or no longer. */
export function keepScreenOn(on) {
  wanted = on;
  if (wanted && !document.hidden) acquire();
  else if (!wanted) release();
}

async function acquire() {
  if (lock || !navigator.wakeLock) return;
  lock = navigator.wakeLock.request('screen').catch(() => null);
  const held = await lock;
  if (held) held.onrelease = () => { lock = null; };
  else lock = null;
}

async function release() {
  (await lock)?.release();
}

// Browsers release the lock of a hidden page.
document.addEventListener('visibilitychange', () => keepScreenOn(wanted));
