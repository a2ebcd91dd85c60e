const NICE = [1, 2, 5, 10];

/** A linear function that maps one range of numbers to another. */
export const linear = ([from, to], [low, high]) => (value) => low + ((value - from) / (to - from)) * (high - low);

/** Round numbers from 0 to at least `most`, in about `count` steps. */
export function steps(most, count) {
  const rough = most / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, NICE.map((nice) => nice * power).find((nice) => nice >= rough));
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

/** The unit (seconds, minutes or hours) for times of up to `most_s`, and the steps of its scale. */
export function unitOf(most_s) {
  const [name, size] = most_s < 120 ? ['seconds', 1] : most_s < 7200 ? ['minutes', 60] : ['hours', 3600];
  const values = steps(Math.max(1, most_s / size), 3).map((value) => value * size);
  return { name, size, steps: values, top: values.at(-1) };
}
