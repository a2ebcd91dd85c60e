const NOTES_HZ = [659, 880, 1319];
const ICON = 'img/robot.svg';

let audio = null;

// Browsers keep a page silent until its first click.
addEventListener('click', () => {
  audio ??= window.AudioContext && new AudioContext();
  audio?.resume();
});

/** Announce something by sound, vibration and, where allowed, a notification. */
export function signal(text) {
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
  try { new Notification(text, { icon: ICON, tag: text }); } catch { /* sound and vibration remain */ }
}

/** Whether to offer notifications: only where the browser has not been asked yet. */
export const canAskToNotify = () => isSecureContext && window.Notification?.permission === 'default';

/** Ask the browser for leave to notify. @returns {Promise<NotificationPermission>} */
export const askToNotify = () => Notification.requestPermission();
