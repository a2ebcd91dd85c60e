import { words as de } from './words/de.js';
import { words as en } from './words/en.js';

const LANGUAGES = { de, en };

/** What each kind of message says, as the page does: a headline, and what to do. */
const TEXTS = {
  two_before: ({ head }) => [head.waiting(2)],
  making: ({ head }) => [head.assigned],
  ready: ({ head, note }) => [head.done, note.done],
  late: ({ late }) => [late],
  failed: ({ head, note }) => [head.failed, note.failed],
};

/**
 * The notification for a message, without any name. There is one for each order: the next replaces it.
 * @param {{job: string, ticket: number, kind: string, lang: string}} message
 * @returns {{title: string} & NotificationOptions}
 */
export function noticeOf({ job, ticket, kind, lang }) {
  const words = LANGUAGES[lang] ?? en;
  const [news, body = ''] = TEXTS[kind](words);
  return {
    title: words.spoken(ticket, news), body, lang, tag: `order ${job}`, data: { order: job, lang },
    icon: 'img/app-192.png', badge: 'img/app-badge.png',
  };
}
