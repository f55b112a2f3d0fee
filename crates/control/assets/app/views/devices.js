// Cameras and recorders of GB/T 28181 that have registered. There may be thousands: the server pages.
import { api, poll } from '../api.js';
import { debounce, h, setText } from '../dom.js';
import { number, since } from '../format.js';
import { t } from '../i18n.js';
import { setQuery } from '../router.js';
import { emptyState, pager, searchField, viewHead } from '../parts/controls.js';
import { copyBlock } from '../copy.js';
import { agoCell, channelsOf, deviceAddress, nameCell, onlineBadge } from '../parts/device-parts.js';
import { noRows, stackedCell, table, textCell } from '../parts/table.js';
import { channelView } from './channel.js';
import { deviceView } from './device.js';

const PER_PAGE = 25;
const settings = '[gb28181]\nlisten = ":5060"\nid = "34020000002000000001"\npassword = "choose-one"';

function stateCell() {
  const [badge, time] = [onlineBadge(), h('small', { class: 'soft' })];
  const element = h('div', { class: 'stacked' }, badge, time);
  element.update = device => {
    badge.update(device);
    setText(time, t('device.for', { time: since(device.gone ?? device.since) }));
  };
  return element;
}

/** The view: of all devices, of one, or of a channel, as the address says. */
export function devicesView(root, { parts, query, signal }) {
  if (parts.length > 1) return channelView(root, { parts, query, signal });
  if (parts.length) return deviceView(root, { parts, signal });
  let page = Number(query.get('page')) || 1;
  let search = query.get('search') ?? '';
  const list = table({
    label: t('nav.devices'),
    id: 'devices',
    key: device => device.id,
    columns: [
      { key: 'name', label: t('stream.name'), className: 'wide', cell: nameCell(device => `#${deviceAddress(device.id)}`) },
      { key: 'state', label: t('stream.state'), cell: stateCell },
      { key: 'model', label: t('device.maker_model'), cell: stackedCell(device => device.manufacturer || '–', device => device.model) },
      { key: 'address', label: t('device.address'), cell: textCell(device => `${device.address} ${device.transport}`, 'mono') },
      { key: 'alive', label: t('device.alive'), className: 'num', cell: agoCell(device => device.alive) },
      { key: 'channels', label: t('device.channels'), className: 'num', cell: textCell(device => number(channelsOf(device).length)) },
      { key: 'alarm', label: t('device.alarm'), cell: textCell(device => device.alarm ?? '–') },
    ],
  });
  const pages = pager(to => {
    page = to;
    setQuery({ page: page > 1 ? page : '' });
    refresh();
  });
  const count = h('span', { class: 'count' });
  const nobody = emptyState('devices', t('empty.devices'), t('empty.devices.text'));
  const off = emptyState('devices', t('devices.off'), t('devices.off.text'),
    copyBlock(t('settings.effective'), settings));
  off.id = 'devices-off';
  const unfound = noRows(t('empty.search'));
  list.hidden = nobody.hidden = unfound.hidden = off.hidden = true;
  root.append(viewHead(t('nav.devices'), t('devices.text')),
    h('section', { class: 'card flush' },
      h('div', { class: 'card-head' }, h('h2', {}, t('nav.devices'), count),
        h('div', { class: 'filters' }, searchField(t('search.devices'), search, debounce(value => {
          [search, page] = [value.trim(), 1];
          setQuery({ search, page: '' });
          refresh();
        }, 200), 'search'))),
      list, nobody, unfound, off, pages));

  const refresh = poll(async () => {
    const asked = [page, search];
    const answer = await api.get('/devices', { search, page, per_page: PER_PAGE }, signal);
    if (signal.aborted || asked[0] !== page || asked[1] !== search) return;
    list.update(answer.items);
    list.hidden = !answer.items.length;
    nobody.hidden = !answer.enabled || answer.total > 0 || search !== '';
    unfound.hidden = !answer.enabled || answer.total > 0 || search === '';
    off.hidden = answer.enabled;
    setText(count, answer.total ? number(answer.total) : '');
    pages.update({ total: answer.total, page, per_page: PER_PAGE });
  }, 2000, signal);
  return t('nav.devices');
}
