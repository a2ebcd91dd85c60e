import { $, el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { countRobots } from './model.js';
import { duration } from './time.js';

const NOTHING = '–';
const time = (seconds) => (seconds === null || seconds === undefined ? NOTHING : duration(seconds));

/** The numbers that an operator looks at first, each with an optional note. */
function tiles({ bar, workers }) {
  const { idle, busy, aside, doubt } = countRobots(workers);
  const kept = typeof bar.kept === 'number' ? `${Math.round(bar.kept * 100)} %` : NOTHING;
  return {
    waiting: [bar.waiting, bar.failed ? t('tile.failed', bar.failed) : ''],
    assigned: [bar.assigned, doubt ? t('tile.doubt', doubt) : ''],
    idle: [idle, aside ? t('tile.aside', aside) : ''],
    busy: [busy],
    hour: [bar.per_hour, t('tile.perHour')],
    p50: [time(bar.p50), t('tile.perHour')],
    p90: [time(bar.p90), t('tile.perHour')],
    kept: [kept, t('tile.promises')],
  };
}

export function renderTiles(model) {
  for (const [name, [value, note = '']] of Object.entries(tiles(model))) {
    const [, number, remark] = tile(name).children;
    say(number, String(value ?? NOTHING));
    say(remark, note);
  }
}

function tile(name) {
  return $(`tile-${name}`) ?? newTile(name);
}

function newTile(name) {
  const node = el('div', { id: `tile-${name}` }, el('dt', {}, t(`tile.${name}`)), el('dd'), el('dd', { className: 'remark' }));
  $('tiles').append(node);
  return node;
}
