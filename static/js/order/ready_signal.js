const NOTES_HZ = [659, 880, 1319];
const ICON = 'img/robot.svg';

let audio = null;
let lock = null;
let awake = false;

// Browsers keep a page silent until somebody has touched it.
addEventListener('click', () => {
  audio ??= window.AudioContext && new AudioContext();
  audio?.resume();
});

/** Make a ready drink heard, felt and, where it was allowed, notified. */
export function celebrate(text) {
  if (audio) NOTES_HZ.forEach(play);
  if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.([200, 100, 200, 100, 400]);
  if (document.hidden) notify(text);
}

function play(hz, i) {
  const start = audio.currentTime + i * 0.16;
  const tone = new OscillatorNode(audio, { frequency: hz, type: 'triangle' });
  const volume = new GainNode(audio, { gain: 0.3 });
  volume.gain.setTargetAtTime(0, start + 0.08, 0.12);
  tone.connect(volume).connect(audio.destination);
  tone.start(start);
  tone.stop(start + 0.8);
}

function notify(text) {
  if (window.Notification?.permission !== 'granted') return;
  // Some phones allow notifications from service workers only, and throw.
  try { new Notification(text, { icon: ICON, tag: text }); } catch { /* it was heard and felt */ }
}

/** True while it makes sense to offer notifications: never asked, never refused. */
export const canAskToNotify = () => isSecureContext && window.Notification?.permission === 'default';

export const askToNotify = () => Notification.requestPermission();

/** Keep the screen on while an order is under way. */
export function stayAwake(wanted) {
  awake = wanted;
  if (awake && !document.hidden) acquire();
  else if (!awake) release();
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

document.addEventListener('visibilitychange', () => stayAwake(awake));
