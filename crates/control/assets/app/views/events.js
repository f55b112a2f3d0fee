// What happens on the server, as it happens.
import { h } from '../dom.js';
import { clock, date } from '../format.js';
import { t, word } from '../i18n.js';
import { setQuery, streamAddress } from '../router.js';
import { listen } from '../sse.js';
import { choice, searchField, viewHead } from '../parts/controls.js';
import { tail } from '../parts/tail.js';

const names = ['on_pub_start', 'on_pub_stop', 'on_sub_start', 'on_sub_stop', 'on_stream_start', 'on_stream_stop',
  'on_record_start', 'on_record_stop', 'on_relay_pull_start', 'on_relay_pull_stop', 'on_relay_push_start', 'on_relay_push_stop',
  'on_device_online', 'on_device_offline', 'on_device_alarm', 'on_device_call_start', 'on_device_call_stop',
  'on_hls_make_ts', 'on_rtmp_connect', 'on_server_start'];

const streamOf = ({ app_name: app, stream_name: stream }) => [app, stream].filter(Boolean).join('/');

function row({ name, data }) {
  const stream = streamOf(data);
  const facts = [data.device_id && [data.device_id, data.channel_id].filter(Boolean).join(' / '), data.session_id, data.protocol && [data.protocol, data.base_type].filter(Boolean).join(' '), data.remote_addr, data.description, data.reason]
    .filter(Boolean).join(' · ');
  return h('li', { class: 'event', 'data-event': name },
    h('details', {},
      h('summary', {},
        h('time', { datetime: data.time, title: date(data.time) }, clock(data.time)),
        h('span', { class: `tag ${/_start|_connect|_online/.test(name) ? 'begin' : /_stop|_offline/.test(name) ? 'end' : ''}`, title: name }, word(`event.${name}`, name)),
        h('span', { class: 'strong' }, stream),
        h('span', { class: 'soft mono' }, facts)),
      h('pre', {}, JSON.stringify({ event: name, ...data }, null, 2)),
      stream && h('a', { href: `#${streamAddress(stream)}` }, t('event.stream'))));
}

/** The view. */
export function eventsView(root, { query, signal }) {
  let search = (query.get('search') ?? '').toLowerCase();
  let only = query.get('event') ?? '';
  const list = tail({
    label: t('nav.events'),
    empty: t('empty.events'),
    row,
    matches: event => (!only || event.name === only) && (!search || event.text.includes(search)),
  });
  list.id = 'events';
  const change = values => {
    if ('search' in values) search = values.search.toLowerCase();
    only = values.event ?? only;
    setQuery(values);
    list.draw();
  };
  root.append(viewHead(t('nav.events'), t('events.text'), list.controls),
    h('section', { class: 'card flush' },
      h('div', { class: 'card-head' }, h('div', { class: 'filters' },
        searchField(t('search.events'), search, value => change({ search: value }), 'search'),
        choice(t('event.kind'), [['', t('all')], ...names.map(name => [name, t(`event.${name}`)])], only, value => change({ event: value }), 'event'))),
      list));
  listen('/events', signal, (name, data) => {
    list.push({ name, data, text: `${name} ${JSON.stringify(data)}`.toLowerCase() });
  }, { opened: () => list.reset() });
  return t('nav.events');
}
