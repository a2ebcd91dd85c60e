import { el, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';
import { countRobots } from './model.js';
import { duration } from './time.js';

const NOTHING = '–';

/** Format seconds, which may be unknown. */
export const time = (seconds) => (seconds === null || seconds === undefined ? NOTHING : duration(seconds));

/** The numbers that an operator looks at first: by name, each with an optional note. */
export function numbersOf({ bar, workers }) {
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

/**
 * Show numbers under their names.
 * @param {HTMLElement} list a `dl`
 * @param {Object<string, [string|number|undefined, string?]>} numbers each with a note; undefined: not known yet
 */
export function renderTiles(list, numbers) {
  for (const [name, [value, note = '']] of Object.entries(numbers)) {
    const [, number, remark] = (list.querySelector(`[data-tile=${name}]`) ?? newTile(list, name)).children;
    say(number, String(value ?? NOTHING));
    say(remark, note);
  }
}

function newTile(list, name) {
  const node = el('div', {}, el('dt', {}, t(`tile.${name}`)), el('dd'), el('dd', { className: 'remark' }));
  node.dataset.tile = name;
  list.append(node);
  return node;
}
