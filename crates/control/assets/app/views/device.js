// One device, and what is in it.
import { api, poll } from '../api.js';
import { h, setAttribute, setText } from '../dom.js';
import { attempt } from '../dialogs.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { streamAddress } from '../router.js';
import { button } from '../parts/controls.js';
import { deviceAddress, deviceCard, nameCell, nameOf, onlineBadge } from '../parts/device-parts.js';
import { listCard } from '../parts/list-card.js';
import { noRows, table, textCell } from '../parts/table.js';

function actionsCell(device) {
  return () => {
    const watch = h('a', { class: 'button small' }, icon('play'), h('span', {}, t('device.watch')));
    const steer = h('a', { class: 'button small' }, icon('devices'), h('span', {}, t('device.steer')));
    const element = h('span', { class: 'row-actions' }, watch, steer);
    element.update = channel => {
      watch.hidden = !channel.stream;
      steer.hidden = channel.is_folder;
      // The device is called as soon as the preview plays.
      setAttribute(watch, 'href', channel.stream ? `#${streamAddress(channel.stream, '?play=1')}` : null);
      setAttribute(watch, 'aria-label', `${t('device.watch')}: ${nameOf(channel)}`);
      setAttribute(steer, 'href', `#${deviceAddress(device, channel.id)}`);
      setAttribute(steer, 'aria-label', `${t('device.steer')}: ${nameOf(channel)}`);
    };
    return element;
  };
}

const describe = channel => [channel.manufacturer, channel.model].filter(Boolean).join(' · ') || '–';

/** The view. */
export function deviceView(root, { parts: [id], signal }) {
  const badge = onlineBadge();
  const title = h('h1', { tabindex: '-1' }, id);
  const crumb = h('span', {}, id);
  const facts = deviceCard();
  const absent = h('p', { class: 'notice', id: 'gone', hidden: true }, t('device.gone.text', { id }));
  const ask = button('reload', t('device.refresh'), async () => {
    await attempt(() => api.post('/devices/refresh', { device: id }), t('device.refreshed'));
    refresh();
  }, { id: 'refresh-channels', kind: 'small' });
  const channels = listCard({
    title: t('device.channels'),
    id: 'channels',
    list: table({
      label: t('device.channels'),
      id: 'channels',
      key: channel => channel.id,
      columns: [
        { key: 'name', label: t('stream.name'), className: 'wide', cell: nameCell(channel => (channel.is_folder ? null : `#${deviceAddress(id, channel.id)}`)) },
        { key: 'state', label: t('stream.state'), cell: onlineBadge },
        { key: 'model', label: t('device.maker_model'), cell: textCell(describe) },
        { key: 'place', label: t('device.place'), cell: textCell(channel => channel.address || '–') },
        { key: 'actions', label: t('actions'), quiet: true, className: 'end', cell: actionsCell(id) },
      ],
    }),
    search: t('search.channels'),
    none: noRows(t('device.channels.none')),
    actions: [ask],
    text: ({ id: channel, name, address, manufacturer, model }) => [channel, name, address, manufacturer, model].join(' '),
  });
  badge.hidden = facts.hidden = channels.hidden = true;
  root.append(
    h('nav', { class: 'crumbs', 'aria-label': t('crumbs') }, h('a', { href: '#/devices' }, t('nav.devices')),
      h('span', { 'aria-hidden': 'true' }, '/'), crumb),
    h('div', { class: 'view-head' }, h('div', { class: 'view-title row' }, title, badge)),
    absent, facts, channels);

  const refresh = poll(async () => {
    const device = await api.get(`/devices/${encodeURIComponent(id)}`, {}, signal);
    if (signal.aborted) return;
    absent.hidden = true;
    badge.hidden = facts.hidden = channels.hidden = false;
    badge.update(device);
    setText(title, nameOf(device));
    setText(crumb, nameOf(device));
    facts.update(device);
    ask.disabled = !device.online;
    channels.update(device.channels);
  }, 2000, signal, error => {
    if (error.status !== 404 && error.status !== 400) return false;
    absent.hidden = false;
    badge.hidden = facts.hidden = channels.hidden = true;
    return true;
  });
  return id;
}
