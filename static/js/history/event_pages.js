import { askService } from '../monitor/questions.js';
import { unixOf } from './days.js';

const LARGEST_PAGE = 1000;

/**
 * Find events, the oldest first.
 * @param {object} question
 * @returns {Promise<{events: object[], next: ?number, damage: object[], holes: object[]}>} each event also
 *   has `t`, its time in Unix seconds, and `kind`, its name
 */
export async function pageOfEvents(question) {
  const { events, next, damage = [], holes = [] } = await askService('events', question);
  return { events: events.map(timed), next, damage, holes };
}

/** Find all events, page by page; throws what `askService` does. */
export async function allEvents(question) {
  const pages = [];
  for (let after = 0; after !== null; after = pages.at(-1).next) {
    pages.push(await pageOfEvents({ ...question, after, limit: LARGEST_PAGE }));
  }
  return joined(pages);
}

/** Join pages; an event, a damaged part or a hole that several of them have is there once. */
export function joined(pages) {
  const all = (name, key) => [...new Map(pages.flatMap((page) => page[name]).map((each) => [key(each), each])).values()];
  return {
    events: all('events', ({ n }) => n).sort((a, b) => a.n - b.n),
    damage: all('damage', JSON.stringify),
    holes: all('holes', JSON.stringify),
  };
}

/** All events of an order, and what the service has of it now (null: nothing any more). */
export async function wayOf(n) {
  const { job, events, damage = [], holes = [] } = await askService(`history/${n}`);
  return { job, events: events.map(timed), damage, holes };
}

// As the events of the live view have it.
const timed = (event) => ({ ...event, kind: event.event, t: unixOf(event.at ?? event.timestamp) });
