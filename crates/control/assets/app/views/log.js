// The server's log, as it is written, and how much it writes.
import { api, poll } from '../api.js';
import { h } from '../dom.js';
import { attempt } from '../dialogs.js';
import { clock, date } from '../format.js';
import { t } from '../i18n.js';
import { setQuery } from '../router.js';
import { listen } from '../sse.js';
import { choice, searchField, viewHead } from '../parts/controls.js';
import { tail } from '../parts/tail.js';

const levels = ['error', 'warn', 'info', 'debug', 'trace'];
const rank = level => levels.indexOf(String(level).toLowerCase());

function row(line) {
  const fields = Object.entries(line.fields ?? {});
  return h('li', { class: `log-line ${String(line.level).toLowerCase()}` },
    h('time', { datetime: line.time, title: date(line.time) }, clock(line.time, true)),
    h('span', { class: 'level' }, line.level),
    h('span', { class: 'text' }, line.message,
      fields.map(([name, value]) => h('span', { class: 'field' }, h('i', {}, `${name}=`),
        typeof value === 'string' ? value : JSON.stringify(value)))));
}

/** The view. */
export function logView(root, { query, signal }) {
  let search = (query.get('search') ?? '').toLowerCase();
  let least = query.get('level') ?? 'trace';
  const list = tail({
    label: t('nav.log'),
    empty: t('empty.log'),
    row,
    matches: line => rank(line.level) <= rank(least) && (!search || line.haystack.includes(search)),
  });
  list.id = 'log';
  list.classList.add('mono');
  const names = levels.map(level => [level, t(`level.${level}`)]);
  const change = values => {
    if ('search' in values) search = values.search.toLowerCase();
    least = values.level ?? least;
    setQuery(values);
    list.draw();
  };
  const serverLevel = choice(t('log.server'), names, 'info', async level => {
    await attempt(() => api.put('/log/level', { level }), t('log.changed', { level: t(`level.${level}`) }));
    readLevel();
  }, 'server-level');
  root.append(viewHead(t('nav.log'), t('log.text'), serverLevel, list.controls),
    h('section', { class: 'card flush' },
      h('div', { class: 'card-head' }, h('div', { class: 'filters' },
        searchField(t('search.log'), search, value => change({ search: value }), 'search'),
        choice(t('log.least'), names, least, value => change({ level: value }), 'level'))),
      list));
  const readLevel = poll(async () => {
    const answer = await api.get('/log/level', {}, signal);
    const select = serverLevel.querySelector('select');
    // Not while somebody is choosing.
    if (document.activeElement !== select) select.value = answer.level;
  }, 10_000, signal);
  listen('/log', signal, (name, line) => {
    if (name === 'log') list.push({ ...line, haystack: JSON.stringify(line).toLowerCase() });
  }, { opened: () => list.reset() });
  return t('nav.log');
}
