const NOTES_HZ = [659, 880, 1319];
const NOTE_S = 0.16;
const TONE_S = 0.8;
const LENGTH_MS = ((NOTES_HZ.length - 1) * NOTE_S + TONE_S) * 1000;

let audio = null;

/** Let this page sound. Browsers keep it silent until somebody has touched it, so call this then. */
export function wake() {
  audio ??= window.AudioContext && new AudioContext();
  audio?.resume();
}

/** Play three rising notes. @returns {Promise} resolved when they have faded; at once if the page may not sound */
export async function chime() {
  if (!audio) return;
  wake(); // phones interrupt the sound for a call, or while the page is in the background
  NOTES_HZ.forEach(play);
  await new Promise((resolve) => { setTimeout(resolve, LENGTH_MS); });
}

function play(hz, i) {
  const start = audio.currentTime + i * NOTE_S;
  const tone = new OscillatorNode(audio, { frequency: hz, type: 'triangle' });
  const volume = new GainNode(audio, { gain: 0.3 });
  volume.gain.setTargetAtTime(0, start + 0.08, 0.12);
  tone.connect(volume).connect(audio.destination);
  tone.start(start);
  tone.stop(start + TONE_S);
}
