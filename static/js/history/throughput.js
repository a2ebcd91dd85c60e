import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { linear, steps } from '../monitor/chart_scale.js';
import { label, shape } from '../monitor/svg.js';
import { dayOf, hourOf, unixOf, shortDay } from './days.js';

const HOUR_S = 3600;
const LEAST_HOURS = 6;
const EDGE = { left: 40, right: 12, top: 10, bottom: 24 };
const ROOM_OF_TICK = 90;
const TICKS_H = [1, 2, 3, 6, 12, 24, 48, 168, 672];

/** A chart of the orders received and served in each hour, and its legend. */
export function throughputChart(rows) {
  const hours = rows.map(({ hour, submitted, done }) => ({ t: unixOf(hour), arrived: submitted, done }));
  const svg = shape('svg', 'throughput', { role: 'img', 'aria-label': summary(hours) });
  new ResizeObserver(() => redraw(svg, hours)).observe(svg);
  const legend = el('ul', { className: 'legend' }, ...['arrived', 'done'].map((name) => {
    const item = el('li', {}, t(name));
    item.dataset.line = name;
    return item;
  }));
  return el('div', { className: 'chart' }, legend, svg);
}

function summary(hours) {
  const sum = (name) => hours.reduce((total, hour) => total + hour[name], 0);
  const best = hours.reduce((most, hour) => (hour.done > most.done ? hour : most));
  const at = `${shortDay(dayOf(best.t))}, ${hourOf(best.t)}`;
  return `${t('statistics.counts', sum('arrived'), sum('done'))} ${best.done ? t('statistics.best', at, best.done) : ''}`.trim();
}

function redraw(svg, hours) {
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  if (!width) return;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.replaceChildren(...draw(hours, width, height));
}

function draw(hours, width, height) {
  const end = hours.at(-1).t + HOUR_S;
  const begin = Math.min(hours[0].t, end - LEAST_HOURS * HOUR_S);
  const x = linear([begin, end], [EDGE.left, width - EDGE.right]);
  const scale = steps(Math.max(1, ...hours.flatMap(({ arrived, done }) => [arrived, done])), 3);
  const y = linear([0, scale.at(-1)], [height - EDGE.bottom, EDGE.top]);
  return [...grid(scale, y, width), ...timeAxis([begin, end], x, height), ...hours.flatMap((hour) => bars(hour, x, y))];
}

function grid(scale, y, width) {
  return scale.flatMap((value) => [
    shape('line', 'grid', { x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
    label('scale', EDGE.left - 8, y(value) + 4, String(value)),
  ]);
}

// At full local hours, as many as there is room for; over several days each midnight is named.
function timeAxis([begin, end], x, height) {
  const room_h = ROOM_OF_TICK / (x(begin + HOUR_S) - x(begin));
  const every_h = TICKS_H.find((hours) => hours >= room_h) ?? TICKS_H.at(-1);
  const midnight = new Date(begin * 1000).setHours(0, 0, 0, 0) / 1000;
  const ticks = [];
  for (let at = midnight; at < end; at += every_h * HOUR_S) if (at >= begin) ticks.push(at);
  return ticks.map((at) => label('tick', x(at), height - 6, every_h < 24 ? hourOf(at) : shortDay(dayOf(at))));
}

function bars({ t: at, arrived, done }, x, y) {
  const room = x(at + HOUR_S) - x(at);
  const bar = (name, value, from) => shape('rect', name, {
    x: x(at) + room * from, y: y(value), width: room * 0.36, height: y(0) - y(value),
  }, `${hourOf(at)}: ${t(`chart.${name}`, value)}`);
  return [bar('arrived', arrived, 0.1), bar('done', done, 0.54)];
}
