import { $, say } from '../shared/dom.js';
import { t } from '../shared/i18n.js';

const SAID_MS = 2_500;

/** Share the link to an order: by the share sheet, else the clipboard, else by showing it. */
export async function share(id) {
  const url = new URL(`order_drink.html?${new URLSearchParams({ order: id })}`, document.baseURI).href;
  if (navigator.share) return navigator.share({ url, title: t('brand') }).catch(() => {});
  // Both need https.
  try {
    await navigator.clipboard.writeText(url);
    sayCopied();
  } catch {
    offer(id, url);
  }
}

function sayCopied() {
  say($('share'), t('copied'));
  setTimeout(() => say($('share'), t('share')), SAID_MS);
}

function offer(id, url) {
  const field = $('share-link');
  field.dataset.order = id;
  field.value = url;
  field.hidden = false;
  field.select();
}
