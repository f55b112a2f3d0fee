// One channel of a device: its picture, and what turns it.
import { api, encodeName, poll } from '../api.js';
import { h, setText } from '../dom.js';
import { t } from '../i18n.js';
import { mediaOrigin } from '../links.js';
import { setQuery, streamAddress } from '../router.js';
import { serverKnown } from '../shell.js';
import { deviceAddress, nameOf, onlineBadge } from '../parts/device-parts.js';
import { playerCard } from '../parts/player-card.js';
import { ptzCard } from '../parts/ptz.js';
import { urlsCard } from '../parts/stream-urls.js';

/** The view. */
export function channelView(root, { parts: [id, channelId], query, signal }) {
  const badge = onlineBadge();
  const title = h('h1', { tabindex: '-1' }, channelId);
  const [above, crumb] = [h('a', { href: `#${deviceAddress(id)}` }, id), h('span', {}, channelId)];
  const absent = h('p', { class: 'notice', id: 'gone', hidden: true }, t('device.gone.text', { id: channelId }));
  const [left, right] = [h('div', { class: 'column' }), h('div', { class: 'column' })];
  right.append(ptzCard(id, channelId, signal));
  const content = h('div', { class: 'split' }, left, right);
  badge.hidden = content.hidden = true;
  const slash = () => h('span', { 'aria-hidden': 'true' }, '/');
  root.append(
    h('nav', { class: 'crumbs', 'aria-label': t('crumbs') }, h('a', { href: '#/devices' }, t('nav.devices')), slash(), above, slash(), crumb),
    h('div', { class: 'view-head' }, h('div', { class: 'view-title row' }, title, badge)),
    absent, content);

  let player = null;
  const known = serverKnown();

  function setKnown(yes) {
    absent.hidden = yes;
    badge.hidden = content.hidden = !yes;
  }

  /** Shows the picture, once it is known what the stream is called. */
  async function show(name) {
    player = playerCard({
      name,
      over: query.get('over'),
      absent: 'called',
      changed: (transport, playing) => setQuery({ over: transport, play: playing ? 1 : '' }),
    });
    signal.addEventListener('abort', () => player.close());
    left.append(player, h('p', { class: 'soft' }, t('device.called'), ' ',
      h('a', { href: `#${streamAddress(name)}` }, t('event.stream'))));
    const server = await known;
    if (signal.aborted) return;
    right.append(urlsCard(name, server));
    if (query.get('play') === '1') player.play();
    let play = '';
    const supply = (state, tracks) => player.update({ base: mediaOrigin(server.ports), paths: server.paths, query: play, tracks, state });
    poll(async () => {
      const stream = await api.get(`/streams/${encodeName(name)}`, {}, signal);
      if (signal.aborted) return;
      play = stream.play?.query ?? play;
      supply(stream.state, stream.tracks);
    }, 1000, signal, error => {
      // Nobody watches: then there is no stream.
      if (error.status !== 404 || signal.aborted) return false;
      supply('gone');
      return true;
    });
  }

  poll(async () => {
    const device = await api.get(`/devices/${encodeURIComponent(id)}`, {}, signal);
    if (signal.aborted) return;
    const channel = device.channels.find(each => each.id === channelId);
    setText(above, nameOf(device));
    setKnown(Boolean(channel));
    if (!channel) return;
    badge.update({ online: device.online && channel.online });
    setText(title, nameOf(channel));
    setText(crumb, nameOf(channel));
    if (channel.stream && !player) show(channel.stream);
  }, 2000, signal, error => {
    if (error.status !== 404 && error.status !== 400) return false;
    setKnown(false);
    return true;
  });
  return channelId;
}
