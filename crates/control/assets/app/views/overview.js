// What the server does as a whole, and its streams.
import { api, poll } from '../api.js';
import { debounce, h, setAttribute, setText } from '../dom.js';
import { audioFacts, number, rate, videoFacts } from '../format.js';
import { t } from '../i18n.js';
import { plot } from '../plot.js';
import { go, here, setQuery, streamAddress } from '../router.js';
import { server, serverNews } from '../shell.js';
import { listen } from '../sse.js';
import { button, choice, emptyState, pager, searchField, stateBadge, viewHead } from '../parts/controls.js';
import { noRows, table, textCell } from '../parts/table.js';

const PER_PAGE = 25;

// The first live stream is opened once, when the page was opened for a demonstration.
let demo = new URLSearchParams(location.search).get('demo') === '1';

function plots() {
  const percent = value => (Number.isFinite(value) ? `${number(value, value < 10 ? 1 : 0)} %` : '–');
  return [
    plot({ id: 'plot-traffic', title: t('figure.traffic'), format: rate, series: [{ key: 'in_kbps', label: t('figure.in') }, { key: 'out_kbps', label: t('figure.out') }] }),
    plot({ id: 'plot-viewers', title: t('figure.viewers'), format: value => number(value), floor: 4, series: [{ key: 'viewers', label: t('figure.viewers') }] }),
    plot({ id: 'plot-cpu', title: t('figure.cpu'), format: percent, floor: 10, series: [{ key: 'cpu_percent', label: t('figure.cpu') }] }),
    plot({ id: 'plot-memory', title: t('figure.memory'), format: value => (Number.isFinite(value) ? `${number(value)} MB` : '–'), floor: 32, series: [{ key: 'memory_mb', label: t('figure.memory') }] }),
  ];
}

function nameCell() {
  // Live streams are buttons, so that they can be told from those with nothing to see.
  const holder = h('span', { class: 'stream-name' });
  holder.update = stream => {
    const kind = stream.state === 'live' ? 'button' : 'a';
    if (holder.firstElementChild?.localName !== kind) {
      holder.replaceChildren(kind === 'button'
        ? h('button', { type: 'button', class: 'link', value: stream.name, on: { click: () => go(streamAddress(stream.name)) } })
        : h('a', { class: 'link', href: `#${streamAddress(stream.name)}` }));
    }
    setText(holder.firstElementChild, stream.name);
  };
  return holder;
}

function stateCell() {
  const badge = stateBadge();
  const recording = h('span', { class: 'badge rec' }, h('i', { class: 'dot' }), h('span', {}));
  const element = h('span', { class: 'badges' }, badge, recording);
  element.update = stream => {
    badge.update(stream.state);
    recording.hidden = !stream.recording?.length;
    setText(recording.lastElementChild, t('recording.short'));
    setAttribute(recording, 'title', t('recording.of', { formats: (stream.recording ?? []).join(', ') }));
  };
  return element;
}

/** The table of streams. */
function streamTable() {
  const of = (stream, kind) => (stream.tracks ?? []).find(track => track.kind === kind);
  return table({
    label: t('streams'),
    id: 'streams',
    key: stream => stream.name,
    columns: [
      { key: 'name', label: t('stream.name'), cell: nameCell, className: 'wide' },
      { key: 'state', label: t('stream.state'), cell: stateCell },
      { key: 'video', label: t('track.video'), cell: textCell(stream => (of(stream, 'video') ? videoFacts(of(stream, 'video')) : '–')) },
      { key: 'audio', label: t('track.audio'), cell: textCell(stream => (of(stream, 'audio') ? audioFacts(of(stream, 'audio')) : '–')) },
      { key: 'in', label: t('figure.in'), className: 'num', cell: textCell(stream => rate(stream.in_kbps)) },
      { key: 'out', label: t('figure.out'), className: 'num', cell: textCell(stream => rate(stream.out_kbps)) },
      { key: 'viewers', label: t('figure.viewers'), className: 'num', cell: textCell(stream => number(stream.viewers)) },
    ],
  });
}

/** The view. */
export function overviewView(root, { query, signal }) {
  let [search, state] = [query.get('search') ?? '', query.get('state') ?? ''];
  let page = Number(query.get('page')) || 1;
  const charts = plots();
  const list = streamTable();
  const pages = pager(to => change({ page: to }));
  const nobody = emptyState('streams', t('empty.streams'), t('empty.streams.text'),
    button('publish', t('empty.streams.action'), () => go('/publish'), { kind: 'primary' }));
  const unfound = noRows(t('empty.search'));
  const count = h('span', { class: 'count' });
  nobody.hidden = unfound.hidden = true;
  list.hidden = true;

  const sums = h('span', { id: 'sums' });
  const drawSums = () => server && setText(sums, t('sums', Object.fromEntries(
    ['streams', 'publishers', 'viewers', 'connections'].map(key => [key, number(server[key])]))));
  drawSums();
  serverNews.addEventListener('news', drawSums, { signal });

  root.append(
    viewHead(t('nav.streams'), sums,
      button('publish', t('empty.streams.action'), () => go('/publish'))),
    h('div', { class: 'plots' }, charts),
    h('section', { class: 'card flush' },
      h('div', { class: 'card-head' }, h('h2', {}, t('streams'), count),
        h('div', { class: 'filters' },
          searchField(t('search.streams'), search, debounce(value => change({ search: value, page: 1 })), 'search'),
          choice(t('stream.state'), [['', t('all')], ...['live', 'away', 'waiting'].map(name => [name, t(`state.${name}`)])],
            state, value => change({ state: value, page: 1 }), 'state'))),
      list, nobody, unfound, pages));

  const refresh = poll(async () => {
    const asked = JSON.stringify([search, state, page]);
    const answer = await api.get('/streams', { search, state, page, per_page: PER_PAGE }, signal);
    if (signal.aborted || asked !== JSON.stringify([search, state, page])) return;
    const any = answer.total > 0;
    list.update(answer.items);
    list.hidden = !any;
    nobody.hidden = any || Boolean(search || state);
    unfound.hidden = any || !nobody.hidden;
    setText(count, any ? number(answer.total) : '');
    pages.update(answer);
    const first = answer.items.find(stream => stream.state === 'live');
    if (demo && first) {
      demo = false;
      go(streamAddress(first.name, '?play=1'));
    }
  }, 1000, signal);

  function change(values) {
    ({ search = search, state = state, page = page } = values);
    setQuery({ search, state, page: page > 1 ? page : '' });
    refresh();
  }

  poll(async () => {
    const answer = await api.get('/history', {}, signal);
    if (!signal.aborted) charts.forEach(chart => chart.update(answer));
  }, 5000, signal);

  // Events bring new streams at once, without waiting for the next second.
  listen('/events?recent=0', signal, name => {
    if (/^on_(pub|stream)_/.test(name)) refresh();
  }, { hidden: false });
  return here().parts.length ? '' : t('nav.streams');
}
