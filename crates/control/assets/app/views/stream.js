// One stream: its picture, its figures, who is on it, and what can be done to it.
import { api, encodeName, poll } from '../api.js';
import { h, reconcile, setAttribute, setText } from '../dom.js';
import { number, rate } from '../format.js';
import { t } from '../i18n.js';
import { mediaOrigin } from '../links.js';
import { plot } from '../plot.js';
import { go, here, setQuery, streamAddress } from '../router.js';
import { serverKnown } from '../shell.js';
import { button, card, pager, stateBadge } from '../parts/controls.js';
import { playerCard } from '../parts/player-card.js';
import { sessionTable } from '../parts/sessions.js';
import { kickButtons, recordButtons } from '../parts/stream-actions.js';
import { figuresCard, repairsCard, tracksCard } from '../parts/stream-facts.js';
import { urlsCard } from '../parts/stream-urls.js';

// What there is to say of a stream that is not there.
const NOTHING = { viewers: 0, in_kbps: 0, out_kbps: 0 };

/** The streams that can be switched to. */
function neighbours(name, signal) {
  const list = h('ul', { class: 'neighbours', id: 'streams' });
  const make = stream => {
    const facts = h('small', {});
    const element = h('li', {}, h('button', {
      type: 'button', value: stream.name, 'aria-current': stream.name === name ? 'true' : null,
      // Who watches one stream wants to see the next one as well.
      on: { click: () => stream.name !== name && go(streamAddress(stream.name, here().query.get('play') === '1' ? '?play=1' : '')) },
    }, h('span', {}, stream.name), facts));
    element.update = now => setText(facts, `${rate(now.in_kbps)} · ${t('viewers.count', { n: number(now.viewers) })}`);
    return element;
  };
  poll(async () => {
    const answer = await api.get('/streams', { state: 'live', per_page: 12 }, signal);
    if (!signal.aborted) reconcile(list, answer.items, stream => stream.name, make);
  }, 2000, signal);
  return card(t('streams.live'), list);
}

/** The sessions of the stream, a page of them. */
function sessionsCard(name, signal) {
  const count = h('span', { class: 'count' });
  let page = 1;
  const list = sessionTable({ withStream: false, kicked: () => refresh() });
  const none = h('p', { class: 'no-rows' }, t('sessions.none'));
  const pages = pager(to => {
    page = to;
    refresh();
  });
  const refresh = poll(async () => {
    const answer = await api.get('/sessions', { stream: name, page, per_page: 20, sort: 'started', order: 'asc' }, signal);
    if (signal.aborted) return;
    list.update(answer.items);
    list.hidden = answer.total === 0;
    none.hidden = answer.total > 0;
    setText(count, number(answer.total));
    pages.update(answer);
  }, 1500, signal);
  return h('section', { class: 'card flush' },
    h('div', { class: 'card-head' }, h('h2', {}, t('nav.sessions'), count)), list, none, pages);
}

function plots() {
  const frames = value => (Number.isFinite(value) ? `${number(value, value % 1 ? 1 : 0)} fps` : '–');
  return [
    plot({ id: 'plot-traffic', title: t('figure.traffic'), format: rate, series: [{ key: 'in_kbps', label: t('figure.in') }, { key: 'out_kbps', label: t('figure.out') }] }),
    plot({ id: 'plot-fps', title: t('fact.fps'), format: frames, floor: 10, series: [{ key: 'fps', label: t('fact.fps') }] }),
    plot({ id: 'plot-viewers', title: t('figure.viewers'), format: value => number(value), floor: 4, series: [{ key: 'viewers', label: t('figure.viewers') }] }),
  ];
}

function gone(name) {
  return h('div', { class: 'notice', id: 'gone', hidden: true },
    h('p', {}, t('stream.gone', { name })),
    button('publish', t('stream.publish'), () => go(`/publish?stream=${encodeURIComponent(name)}`), { kind: 'small' }));
}

/** The view. */
export function streamView(root, { parts, query, signal }) {
  const name = parts.join('/');
  if (!name) {
    go('/', true);
    return '';
  }
  const badge = stateBadge();
  badge.hidden = true;
  const player = playerCard({
    name,
    over: query.get('over'),
    changed: (transport, playing) => setQuery({ over: transport, play: playing ? 1 : '' }),
  });
  signal.addEventListener('abort', () => player.close());
  const absent = gone(name);
  const charts = plots();
  const [figures, tracks, repairs] = [figuresCard(), tracksCard(), repairsCard()];
  const kicks = kickButtons(name, () => refresh());
  const records = recordButtons(name, () => refresh());
  const urls = h('div', {});
  const title = h('h1', { tabindex: '-1' }, name);

  root.append(
    h('nav', { class: 'crumbs', 'aria-label': t('crumbs') }, h('a', { href: '#/' }, t('nav.streams')), h('span', { 'aria-hidden': 'true' }, '/'), h('span', {}, name)),
    h('div', { class: 'view-head' }, h('div', { class: 'view-title row' }, title, badge), kicks),
    absent,
    h('div', { class: 'split' },
      h('div', { class: 'column' }, player, records, h('div', { class: 'plots three' }, charts),
        h('div', { class: 'cards half' }, tracks, repairs)),
      h('div', { class: 'column' }, figures, urls, neighbours(name, signal))),
    sessionsCard(name, signal));

  let play = null;
  const known = serverKnown();
  known.then(server => !signal.aborted && urls.replaceChildren(urlsCard(name, server)));

  async function supply(stream) {
    const server = await known;
    if (signal.aborted) return;
    player.update({
      base: mediaOrigin(server.ports), paths: server.paths,
      query: stream?.play?.query ?? play ?? '', tracks: stream?.tracks, state: stream?.state ?? 'gone',
    });
  }

  const refresh = poll(async () => {
    const stream = await api.get(`/streams/${encodeName(name)}`, {}, signal);
    if (signal.aborted) return;
    absent.hidden = true;
    badge.hidden = false;
    badge.update(stream.state);
    [figures, tracks, repairs, kicks, records].forEach(part => part.update(stream));
    for (const chart of charts) chart.update(stream.history ?? {});
    play = stream.play?.query ?? null;
    setAttribute(root, 'data-stream', name);
    await supply(stream);
  }, 1000, signal, error => {
    if (error.status !== 404 || signal.aborted) return false;
    absent.hidden = false;
    badge.hidden = true;
    kicks.update(null);
    records.update(null);
    [figures, tracks, repairs].forEach(part => part.update(NOTHING));
    for (const chart of charts) chart.update({});
    supply(null);
    return true;
  });

  kicks.update(null);
  if (query.get('play') === '1') player.play();
  return name;
}
