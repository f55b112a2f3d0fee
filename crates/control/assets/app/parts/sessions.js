// The table of sessions, in the view of all and in that of one stream.
import { api } from '../api.js';
import { h, setAttribute, setText } from '../dom.js';
import { attempt, confirmed } from '../dialogs.js';
import { bytes, date, rate, since } from '../format.js';
import { t } from '../i18n.js';
import { streamAddress } from '../router.js';
import { buttonCell, table, textCell } from './table.js';

/** Ends a session after a question. */
export async function kick(session, then = () => {}) {
  const sure = await confirmed(t('kick.title', { id: session.id }),
    t('kick.text', { id: session.id, peer: session.peer }), t('kick'));
  if (!sure) return;
  await attempt(() => api.remove(`/sessions/${encodeURIComponent(session.id)}`), t('kick.done', { id: session.id }));
  then();
}

function nameCell() {
  const id = h('span', { class: 'mono strong' });
  const role = h('span', { class: 'tag' });
  const element = h('span', { class: 'session-name' }, id, role);
  element.update = session => {
    setText(id, session.id);
    setText(role, t(`role.${session.role}`));
    setAttribute(role, 'class', `tag role-${session.role}`);
    setAttribute(id, 'title', session.url);
  };
  return element;
}

function streamCell() {
  const element = h('a', { class: 'stream-link' });
  element.update = session => {
    setText(element, session.stream ?? '–');
    setAttribute(element, 'href', session.stream ? `#${streamAddress(session.stream)}` : null);
  };
  return element;
}

function sinceCell() {
  const element = h('time', {});
  element.update = session => {
    setText(element, since(session.started));
    setAttribute(element, 'datetime', session.started);
    setAttribute(element, 'title', date(session.started));
  };
  return element;
}

/** The table; `withStream` shows of which stream each is, `sorted` hears clicks on heads. */
export function sessionTable({ withStream, sorted, kicked }) {
  const kbps = session => session.read_kbps + session.written_kbps;
  const sort = Boolean(sorted);
  return table({
    label: t('nav.sessions'),
    id: 'sessions',
    key: session => session.id,
    sorted,
    columns: [
      { key: 'id', label: t('session'), cell: nameCell, className: 'wide' },
      { key: 'peer', label: t('session.peer'), cell: textCell(session => session.peer, 'mono') },
      withStream && { key: 'stream', label: t('session.stream'), cell: streamCell },
      { key: 'user', label: t('session.user'), cell: textCell(session => session.user ?? '–') },
      { key: 'kbps', label: t('session.rate'), sort, className: 'num', cell: textCell(session => rate(kbps(session))) },
      { key: 'bytes', label: t('session.bytes'), sort, className: 'num', cell: textCell(session => bytes(session.read_bytes + session.written_bytes)) },
      { key: 'started', label: t('session.since'), sort, className: 'num', cell: sinceCell },
      { key: 'kick', label: t('kick'), quiet: true, className: 'end', cell: buttonCell('kick', t('kick'), session => kick(session, kicked)) },
    ].filter(Boolean),
  });
}
