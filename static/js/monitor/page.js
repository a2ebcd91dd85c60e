import { ignoreDoubleClicks } from '../shared/dom.js';
import { learn, t, translatePage } from '../shared/i18n.js';
import { takeToken } from '../shared/token.js';

takeToken('operator-token');
await learn('monitor/words');
translatePage();
ignoreDoubleClicks();
document.title = t('monitor');

// What these show at once needs the words.
const { Monitor } = await import('./monitor.js');
new Monitor().start();
