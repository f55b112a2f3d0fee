// The operator's page begins here.
import { onUnauthorized } from './api.js';
import { changes } from './i18n.js';
import { route, show, start, streamAddress } from './router.js';
import { drawShell, startShell } from './shell.js';
import { askToken } from './token.js';
import { devicesView } from './views/devices.js';
import { eventsView } from './views/events.js';
import { logView } from './views/log.js';
import { overviewView } from './views/overview.js';
import { publishView } from './views/publish.js';
import { recordingsView } from './views/recordings.js';
import { relaysView } from './views/relays.js';
import { sessionsView } from './views/sessions.js';
import { settingsView } from './views/settings.js';
import { streamView } from './views/stream.js';

route('', overviewView);
route('streams', streamView);
route('sessions', sessionsView);
route('devices', devicesView);
route('relays', relaysView);
route('publish', publishView);
route('recordings', recordingsView);
route('events', eventsView);
route('log', logView);
route('settings', settingsView);

// Links such as /?stream=live/demo&over=ws are short enough to be typed.
const query = new URLSearchParams(location.search);
if (query.has('stream') && !location.hash) {
  const name = query.get('stream').replace(/^\/+|\/+$/g, '');
  const over = query.has('over') ? `&over=${encodeURIComponent(query.get('over'))}` : '';
  history.replaceState(null, '', `${location.pathname}#${streamAddress(name, `?play=1${over}`)}`);
}

onUnauthorized(askToken);
drawShell();
startShell();
start(document.getElementById('view'));
changes.addEventListener('change', () => {
  drawShell();
  show({ focus: false });
  document.getElementById('language').focus();
});
