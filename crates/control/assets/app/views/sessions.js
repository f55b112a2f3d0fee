// All sessions of the server. There may be thousands: the server pages and sorts them.
import { api, poll } from '../api.js';
import { debounce, h, setText } from '../dom.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { setQuery } from '../router.js';
import { choice, emptyState, pager, searchField, viewHead } from '../parts/controls.js';
import { sessionTable } from '../parts/sessions.js';
import { noRows } from '../parts/table.js';

const protocols = ['RTMP', 'RTSP', 'FLV', 'TS', 'HLS', 'MP4', 'PS', 'CUSTOMIZE'];
const roles = ['PUB', 'SUB', 'PUSH', 'PULL', 'PUBSUB'];
const plain = { search: '', protocol: '', role: '', stream: '', sort: 'started', order: 'desc', page: 1 };

/** The view. */
export function sessionsView(root, { query, signal }) {
  const asked = Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, query.get(key) ?? value]));
  asked.page = Number(asked.page) || 1;
  const list = sessionTable({
    withStream: true,
    sorted: key => change({ sort: key, order: asked.sort === key && asked.order === 'desc' ? 'asc' : 'desc', page: 1 }),
    kicked: () => refresh(),
  });
  const pages = pager(page => change({ page }));
  const nobody = emptyState('sessions', t('empty.sessions'), t('empty.sessions.text'));
  const unfound = noRows(t('empty.search'));
  const count = h('span', { class: 'count' });
  nobody.hidden = unfound.hidden = list.hidden = true;

  const sorts = [['started-desc', 'sort.newest'], ['started-asc', 'sort.oldest'], ['kbps-desc', 'sort.kbps'], ['bytes-desc', 'sort.bytes']];
  const sorting = choice(t('sort'), sorts.map(([key, text]) => [key, t(text)]), '', value => {
    const [sort, order] = value.split('-');
    change({ sort, order, page: 1 });
  }, 'sort');
  const ofStream = h('a', { class: 'tag removable', href: '#/sessions', hidden: !asked.stream }, t('sessions.of', { name: asked.stream }), ' ×');

  root.append(
    viewHead(t('nav.sessions'), t('sessions.text')),
    h('section', { class: 'card flush' },
      h('div', { class: 'card-head' }, h('h2', {}, t('nav.sessions'), count), ofStream,
        h('div', { class: 'filters' },
          searchField(t('search.sessions'), asked.search, debounce(search => change({ search, page: 1 })), 'search'),
          choice(t('session.protocol'), [['', t('all')], ...protocols.map(name => [name, name])], asked.protocol, protocol => change({ protocol, page: 1 }), 'protocol'),
          choice(t('session.role'), [['', t('all')], ...roles.map(name => [name, t(`role.${name}`)])], asked.role, role => change({ role, page: 1 }), 'role'),
          sorting)),
      list, nobody, unfound, pages));

  const refresh = poll(async () => {
    const sent = JSON.stringify(asked);
    const answer = await api.get('/sessions', { ...asked, per_page: 50 }, signal);
    if (signal.aborted || sent !== JSON.stringify(asked)) return;
    const any = answer.total > 0;
    const filtered = asked.search || asked.protocol || asked.role || asked.stream;
    list.update(answer.items);
    list.hidden = !any;
    nobody.hidden = any || Boolean(filtered);
    unfound.hidden = any || !filtered;
    setText(count, number(answer.total));
    pages.update(answer);
  }, 2000, signal);

  function mark() {
    list.mark(asked.sort, asked.order);
    sorting.querySelector('select').value = `${asked.sort}-${asked.order}`;
  }

  function change(values) {
    Object.assign(asked, values);
    setQuery(Object.fromEntries(Object.entries(asked).map(([key, value]) => [key, value === plain[key] ? '' : value])));
    mark();
    refresh();
  }
  mark();
  return t('nav.sessions');
}
