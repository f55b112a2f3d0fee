// Files that were recorded: to fetch, or to look at here.
import { api, authorization, authorize, authorized, hasToken, poll } from '../api.js';
import { debounce, h, setAttribute, setText } from '../dom.js';
import { attempt, openDialog } from '../dialogs.js';
import { bytes, date, number } from '../format.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { openFlv } from '../player/flv.js';
import { openHls } from '../player/hls.js';
import { setQuery } from '../router.js';
import { emptyState, pager, searchField, viewHead } from '../parts/controls.js';
import { noRows, table, textCell } from '../parts/table.js';

const PER_PAGE = 50;
// What the server says is part of a URL; people read it as the stream's name is written.
const itemsOf = recording => recording.path.split('/').map(item => {
  try {
    return decodeURIComponent(item);
  } catch {
    return item;
  }
});
const fileOf = recording => itemsOf(recording).at(-1);
const folderOf = recording => itemsOf(recording).slice(0, -1).join('/');

/** The file as the browser can use it: where a token is asked for, links cannot show it. */
async function openable(recording) {
  if (!hasToken()) return { url: recording.path, free() {} };
  const answer = await authorized(recording.path);
  if (!answer.ok) throw Object.assign(new Error(`${answer.status} ${answer.statusText}`), { status: answer.status });
  const url = URL.createObjectURL(await answer.blob());
  return { url, free: () => URL.revokeObjectURL(url) };
}

async function download(recording) {
  const file = await attempt(() => openable(recording));
  if (!file) return;
  const link = h('a', { href: file.url, download: fileOf(recording) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(file.free, 60_000);
}

async function play(recording) {
  // The others are asked for piece by piece, and can show the token.
  const file = recording.format === 'mp4' ? await attempt(() => openable(recording)) : null;
  if (recording.format === 'mp4' && !file) return;
  const video = h('video', { controls: true, autoplay: true, playsinline: true, class: 'recording' });
  const status = h('p', { role: 'status', class: 'soft' });
  let source = null;
  const failed = () => setText(status, t('recording.unplayable'));
  if (file) {
    video.src = file.url;
    video.addEventListener('error', failed);
  } else {
    const url = new URL(recording.path, location.href).href;
    const report = state => state !== 'ended' && failed();
    source = recording.format === 'hls'
      ? openHls(video, url, report, { live: false, authorize })
      : openFlv(video, url, report,
        { type: recording.format === 'ts' ? 'mpegts' : 'flv', live: false, headers: authorization() });
    video.play().catch(() => {});
  }
  openDialog(fileOf(recording), h('div', {}, video, status), {
    className: 'large',
    closed: () => {
      source?.stop();
      video.removeAttribute('src');
      file?.free();
    },
  });
}

function actionsCell() {
  let item = null;
  const watch = h('button', { type: 'button', class: 'button small', on: { click: () => play(item) } }, icon('play'), h('span', {}, t('play')));
  const fetchIt = h('button', { type: 'button', class: 'button small', on: { click: () => download(item) } }, icon('download'), h('span', {}, t('download')));
  const element = h('span', { class: 'row-actions' }, watch, fetchIt);
  element.update = recording => {
    item = recording;
    setAttribute(watch, 'aria-label', `${t('play')}: ${fileOf(recording)}`);
    setAttribute(fetchIt, 'aria-label', `${t('download')}: ${fileOf(recording)}`);
  };
  return element;
}

/** The view. */
export function recordingsView(root, { query, signal }) {
  const stream = query.get('stream') ?? '';
  let search = query.get('search') ?? '';
  let page = 1;
  let items = [];
  const list = table({
    label: t('nav.recordings'),
    id: 'recordings',
    key: recording => recording.path,
    columns: [
      { key: 'file', label: t('recording.file'), className: 'wide', cell: textCell(fileOf, 'mono strong') },
      { key: 'format', label: t('recording.format'), cell: textCell(recording => recording.format.toUpperCase(), 'tag') },
      { key: 'folder', label: t('recording.folder'), cell: textCell(folderOf, 'mono') },
      { key: 'size', label: t('recording.size'), className: 'num', cell: textCell(recording => bytes(recording.size)) },
      { key: 'modified', label: t('recording.modified'), className: 'num', cell: textCell(recording => date(recording.modified)) },
      { key: 'actions', label: t('actions'), quiet: true, className: 'end', cell: actionsCell },
    ],
  });
  const pages = pager(to => {
    page = to;
    draw();
  });
  const nothing = emptyState('recordings', t('empty.recordings'), t('empty.recordings.text'));
  const unfound = noRows(t('empty.search'));
  const count = h('span', { class: 'count' });
  nothing.hidden = unfound.hidden = list.hidden = true;

  root.append(viewHead(t('nav.recordings'), t('recordings.text')),
    h('section', { class: 'card flush' },
      h('div', { class: 'card-head' }, h('h2', {}, t('recordings.files'), count),
        stream && h('a', { class: 'tag removable', href: '#/recordings' }, t('sessions.of', { name: stream }), ' ×'),
        h('div', { class: 'filters' }, searchField(t('search.recordings'), search, debounce(value => {
          [search, page] = [value, 1];
          setQuery({ search });
          draw();
        }, 120), 'search'))),
      list, nothing, unfound, pages));

  function draw() {
    const wanted = search.toLowerCase();
    const found = items.filter(recording => itemsOf(recording).join('/').toLowerCase().includes(wanted));
    list.update(found.slice((page - 1) * PER_PAGE, page * PER_PAGE));
    list.hidden = !found.length;
    nothing.hidden = items.length > 0;
    unfound.hidden = found.length > 0 || !items.length;
    setText(count, items.length ? number(items.length) : '');
    pages.update({ total: found.length, page, per_page: PER_PAGE });
  }

  poll(async () => {
    const answer = await api.get('/recordings', { stream }, signal);
    if (signal.aborted) return;
    items = answer.items.toSorted((a, b) => b.modified.localeCompare(a.modified));
    draw();
  }, 5000, signal);
  return t('nav.recordings');
}
