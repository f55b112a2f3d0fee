// The configuration in effect, and who is kept out.
import { api, poll } from '../api.js';
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { blockedCard } from '../parts/blocked.js';
import { button, searchField, viewHead } from '../parts/controls.js';
import { noRows } from '../parts/table.js';

/** Keys with their values: `rtmp.listen` instead of an object in an object. */
function flat(value, path = '') {
  const nested = value !== null && typeof value === 'object' && !Array.isArray(value);
  if (!nested || !Object.keys(value).length) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, path ? `${path}.${key}` : key));
}

function shown(value) {
  if (Array.isArray(value)) return value.length ? value.map(each => (typeof each === 'object' ? JSON.stringify(each) : String(each))).join(', ') : '[]';
  return value === null ? '–' : typeof value === 'object' ? JSON.stringify(value) : value === '' ? '""' : String(value);
}

function group(title, entries) {
  return h('section', { class: 'setting-group' }, h('h3', { class: 'mono' }, title || t('settings.top')),
    h('dl', {}, entries.map(([key, value]) => h('div', {}, h('dt', { class: 'mono' }, key), h('dd', { class: 'mono' }, shown(value))))));
}

/** What a reload did, in words. */
function reloaded(answer) {
  const part = (kind, items) => items.length > 0 && h('p', {}, h('strong', {}, t(`reload.${kind}`)), ' ', items.join(', '));
  const nothing = !answer.applied.length && !answer.needs_restart.length && !answer.warnings.length;
  return [part('applied', answer.applied), part('needs_restart', answer.needs_restart), part('warnings', answer.warnings),
    nothing && h('p', {}, t('reload.nothing'))].filter(Boolean);
}

/** The view. */
export function settingsView(root, { query, signal }) {
  let search = query.get('search') ?? '';
  let entries = [];
  const groups = h('div', { class: 'setting-groups', id: 'settings' });
  const none = noRows(t('empty.search'));
  const outcome = h('div', { class: 'notice', id: 'reloaded', role: 'status', hidden: true });

  const reload = async () => {
    outcome.hidden = true;
    try {
      outcome.replaceChildren(...reloaded(await api.post('/config/reload')));
      outcome.className = 'notice good';
    } catch (error) {
      if (!error.status) return;
      outcome.replaceChildren(h('p', {}, h('strong', {}, t('reload.refused')), ' ', error.message));
      outcome.className = 'notice bad';
    }
    outcome.hidden = false;
    refresh();
  };

  function draw() {
    const wanted = search.toLowerCase();
    const found = entries.filter(([key, value]) => `${key} ${shown(value)}`.toLowerCase().includes(wanted));
    const parts = Map.groupBy ? Map.groupBy(found, ([key]) => (key.includes('.') ? key.split('.')[0] : '')) : new Map([['', found]]);
    groups.replaceChildren(...[...parts].map(([title, each]) => group(title, each)));
    none.hidden = found.length > 0 || !entries.length;
  }

  root.append(
    viewHead(t('nav.settings'), t('settings.text'), button('reload', t('reload'), reload, { id: 'reload' })),
    outcome,
    h('div', { class: 'split even' },
      h('section', { class: 'card' },
        h('div', { class: 'card-head inner' }, h('h2', {}, t('settings.effective')),
          h('div', { class: 'filters' }, searchField(t('search.settings'), search, value => {
            search = value;
            draw();
          }, 'search'))),
        groups, none),
      blockedCard(signal)));

  let last = '';
  const refresh = poll(async () => {
    const answer = await api.get('/config', {}, signal);
    const text = JSON.stringify(answer);
    // Drawing anew would lose a selection of text.
    if (signal.aborted || text === last) return;
    last = text;
    entries = flat(answer.settings);
    draw();
  }, 10_000, signal);
  draw();
  return t('nav.settings');
}
