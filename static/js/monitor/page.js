import { ignoreDoubleClicks } from '../shared/dom.js';
import { learn, t, translatePage } from '../shared/i18n.js';
import { takeToken } from '../shared/token.js';
import { Monitor } from './monitor.js';

takeToken('operator-token');
await learn('monitor/words');
translatePage();
ignoreDoubleClicks();
document.title = t('monitor');

new Monitor().start();
