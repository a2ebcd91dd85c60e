import { $ } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { linear, steps, unitOf } from './chart_scale.js';
import { label, shape } from './svg.js';
import { duration } from './time.js';

const HOUR_MIN = 60;
const MINUTE_S = 60;
const EDGE = { left: 52, right: 12, top: 10, bottom: 24 };
/** The share of the height for waiting times; the rest is for counts, which have a scale of their own. */
const UPPER = 0.64;
const GAP = 22;
const ROOM_OF_TICK = 80;

/** Draws the last hour: waiting times as lines, orders received and served as bars. */
export class Chart {
  #drawn = '';

  /**
   * @param {{t: number, arrived: number, done: number, p50: ?number, p90: ?number}[]} minutes
   * @param {number} now unix seconds
   */
  show(minutes, now) {
    const svg = $('chart');
    const size = [svg.clientWidth, svg.clientHeight];
    const state = JSON.stringify([size, Math.floor(now / MINUTE_S), minutes]);
    if (state === this.#drawn || !size[0]) return;
    this.#drawn = state;
    svg.setAttribute('viewBox', `0 0 ${size.join(' ')}`);
    svg.setAttribute('aria-label', summary(minutes));
    svg.replaceChildren(...draw(minutes, Math.floor(now / MINUTE_S), size));
  }
}

function summary(minutes) {
  const sum = (name) => minutes.reduce((total, minute) => total + minute[name], 0);
  const waits = minutes.filter(({ p50 }) => p50 !== null);
  const last = waits.at(-1);
  const text = t('chart.counts', sum('arrived'), sum('done'));
  return last ? `${text} ${t('chart.last', duration(last.p50), duration(last.p90))}` : text;
}

function draw(minutes, last, [width, height]) {
  const x = linear([last - HOUR_MIN + 0.5, last + 1.5], [EDGE.left, width - EDGE.right]);
  const middle = EDGE.top + (height - EDGE.top - EDGE.bottom) * UPPER;
  const shown = minutes.map((minute) => ({ ...minute, at: minute.t / MINUTE_S + 1 })).filter(({ at }) => at > last - HOUR_MIN);
  return [
    ...timeAxis(x, last, height),
    ...waits(shown, x, [middle, EDGE.top], width),
    ...counts(shown, x, [height - EDGE.bottom, middle + GAP], width),
    ...(shown.length ? [] : [label('nothing', width / 2, middle / 2, t('chart.nothing'))]),
  ];
}

function timeAxis(x, last, height) {
  const ticks = x(15) - x(0) < ROOM_OF_TICK ? [60, 30, 0] : [60, 45, 30, 15, 0];
  return ticks.map((ago) => {
    const at = Math.max(x(last + 1 - ago), EDGE.left);
    return label(ago === 60 ? 'start' : ago ? 'tick' : 'end', at, height - 6, ago ? t('chart.ago', ago) : t('chart.now'));
  });
}

function waits(minutes, x, range, width) {
  const known = minutes.filter(({ p90 }) => p90 !== null);
  const unit = unitOf(Math.max(0, ...known.map(({ p90 }) => p90)));
  const y = linear([0, unit.top], range);
  const points = (name) => known.map((minute) => [x(minute.at), y(minute[name])]);
  const lower = points('p50');
  const upper = points('p90');
  return [
    ...grid(unit.steps, y, width, (value) => t(unit.name, value / unit.size)),
    shape('polygon', 'between', { points: [...upper, ...[...lower].reverse()].join(' ') }),
    ...line('p90', upper),
    ...line('p50', lower),
  ];
}

function line(name, points) {
  const dots = points.length < 3 ? points : points.slice(-1);
  return [
    shape('polyline', name, { points: points.join(' ') }),
    ...dots.map(([cx, cy]) => shape('circle', name, { cx, cy, r: 4 })),
  ];
}

function counts(minutes, x, range, width) {
  const most = Math.max(1, ...minutes.flatMap(({ arrived, done }) => [arrived, done]));
  const top = steps(most, 2).at(-1);
  const y = linear([0, top], range);
  const room = x(1) - x(0);
  const bar = (name, minute, side) => shape('rect', name, {
    x: x(minute.at) + (side * room) / 2 - (side < 0 ? 0 : room * 0.1), y: y(minute[name]),
    width: room * 0.4, height: range[0] - y(minute[name]),
  }, t(`chart.${name}`, minute[name]));
  const bars = minutes.flatMap((minute) => [bar('arrived', minute, -0.9), bar('done', minute, 0.1)]);
  return [...grid([0, top], y, width, String), ...bars];
}

function grid(values, y, width, text) {
  return values.flatMap((value) => [
    shape('line', 'grid', { x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
    label('scale', EDGE.left - 8, y(value) + 4, text(value)),
  ]);
}
