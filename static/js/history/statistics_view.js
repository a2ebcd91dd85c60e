import { el } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { drinkName } from '../shared/menu.js';
import { askService } from '../monitor/questions.js';
import { duration } from '../monitor/time.js';
import { dayOf, hourOf, nameOfDay, shortDay, spanOf, startOf, unixOf } from './days.js';
import { panel, robotLink } from './parts.js';
import { choiceOf } from './span_form.js';
import { throughputChart } from './throughput.js';

/** The service gives up after a minute. */
const TIMEOUT_MS = 65_000;
const NOTHING = '–';
const QUANTILES = ['p50', 'p90', 'p99'];

/** Get the statistics of some days. */
export async function ask(args) {
  const { days, by } = choiceOf(args);
  const { rows } = await askService('stats', { by, ...spanOf(...days) }, TIMEOUT_MS);
  return rows;
}

/** Show them as a table; by hour, orders received and served also as a chart. */
export function draw(rows, args) {
  const { days: [first, last], by } = choiceOf(args);
  const title = first === last ? nameOfDay(first) : t('statistics.days', nameOfDay(first), nameOfDay(last));
  if (!rows.length) return [panel(title, el('p', {}, t('statistics.nothing')))];
  const nameOf = { hour: first === last ? timeOf : dayAndTimeOf, drink: drinkOf, robot: (row) => robotOf(row, last) }[by];
  return [panel(title, ...(by === 'hour' ? [throughputChart(rows)] : []), figures(by, rows, nameOf))];
}

const timeOf = ({ hour }) => hourOf(unixOf(hour));
const dayAndTimeOf = (row) => `${shortDay(dayOf(unixOf(row.hour)))}, ${timeOf(row)}`;
const drinkOf = ({ drink }) => drinkName(drink) || t('statistics.unknownDrink');
// A robot without a name has its callback instead, which cannot be asked for.
const robotOf = ({ robot }, day) => (robot.includes('://') ? robot : robotLink({ worker: robot, t: startOf(day) }));

/** The columns after the first: what each is called, alone and in its group, and its value for a row. */
function columnsFor(by) {
  const count = (name, title = t(`statistics.${name}`)) => ({ title, valueOf: (row) => row[name] });
  const share = (name) => ({ title: t(`statistics.${name}`), valueOf: (row) => percent(row[name]) });
  const times = (name) => QUANTILES.map((quantile) => ({
    group: t(`statistics.${name}`), title: t(`statistics.quantile.${quantile}`),
    valueOf: (row) => time(row[`${name}_s`][quantile]),
  }));
  return [
    count('submitted', t(by === 'robot' ? 'statistics.given' : 'arrived')), count('done'), count('failed'),
    count('cancelled'), ...times('wait'), ...times('service'), share('kept'), count('refused'), count('doubted'),
    share('utilisation'),
  ];
}

const time = (seconds) => (seconds === null ? NOTHING : duration(seconds));
const percent = (share) => (share === null ? NOTHING : t('statistics.percent', Math.round(share * 100)));

function figures(by, rows, nameOf) {
  const columns = columnsFor(by);
  const body = rows.map((row) => el('tr', {}, el('th', { scope: 'row' }, nameOf(row)), ...columns.map((column) => cell(column, row))));
  const table = el('table', { className: 'figures' }, el('thead', {}, ...heads(by, columns)), el('tbody', {}, ...body));
  table.setAttribute('aria-labelledby', 'found-title');
  return table;
}

// On a narrow screen each cell has its heading beside it, and what is 0 or missing is left out.
function cell({ group, title, valueOf }, row) {
  const node = el('td', {}, String(valueOf(row)));
  node.dataset.of = group ? `${group} (${title})` : title;
  node.dataset.empty = ['0', t('statistics.percent', 0), NOTHING].includes(node.textContent);
  return node;
}

function heads(by, columns) {
  const first = el('th', { scope: 'col', rowSpan: 2 }, t(`statistics.by.${by}`));
  const upper = columns.filter(({ group }, i) => !group || columns[i - 1].group !== group).map(({ group, title }) => {
    const place = group ? { scope: 'colgroup', colSpan: QUANTILES.length } : { scope: 'col', rowSpan: 2 };
    return el('th', place, group ?? title);
  });
  const lower = columns.filter(({ group }) => group).map(({ title }) => el('th', { scope: 'col' }, title));
  return [el('tr', {}, first, ...upper), el('tr', {}, ...lower)];
}
