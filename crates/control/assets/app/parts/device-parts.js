// What views of devices share: names, states, and what is known of a device.
import { h, setAttribute, setText } from '../dom.js';
import { date, number, since } from '../format.js';
import { t } from '../i18n.js';
import { card, facts, toneBadge } from './controls.js';

/** The address of a device's view, or of one of its channels. */
export function deviceAddress(...ids) {
  return ['/devices', ...ids.map(encodeURIComponent)].join('/');
}

/** What people call it. */
export const nameOf = ({ name, id }) => name || id;

/** The channels that pictures come from, or what holds them: folders are none. */
export const channelsOf = device => device.channels.filter(channel => !channel.is_folder);

/** Whether a device or a channel is there; of folders nobody says so. */
export function onlineBadge() {
  const element = toneBadge();
  const { update } = element;
  element.update = ({ online, is_folder: folder }) => {
    if (folder) update('', t('device.folder'));
    else if (online) update('live', t('device.online'));
    else if (online === false) update('away', t('device.away'));
    else update('', t('device.unknown'));
  };
  return element;
}

/** How long ago a time was. */
export function agoCell(of) {
  return () => {
    const element = h('time', {});
    element.update = item => {
      const time = of(item);
      setText(element, time ? t('plot.ago', { time: since(time) }) : '–');
      setAttribute(element, 'datetime', time);
      setAttribute(element, 'title', time ? date(time) : null);
    };
    return element;
  };
}

/** A link with a name, and the id below it. */
export function nameCell(address) {
  return () => {
    const link = h('a', { class: 'link' });
    const id = h('small', { class: 'mono soft' });
    const element = h('div', { class: 'stacked' }, link, id);
    element.update = item => {
      setText(link, nameOf(item));
      setAttribute(link, 'href', address(item));
      setText(id, item.id);
      id.hidden = !item.name;
    };
    return element;
  };
}

/** A card with what is known of a device. */
export function deviceCard() {
  const keys = ['address', 'alive', 'since', 'gone', 'manufacturer', 'model', 'firmware', 'version', 'channels', 'alarm'];
  const list = facts(keys.map(key => [key, t(`device.${key}`)]), 'grid');
  const element = card(t('device'), list);
  element.id = 'device';
  element.update = device => {
    const [ago, moment] = [time => t('plot.ago', { time: since(time) }), time => (time ? date(time) : '–')];
    list.update({
      ...Object.fromEntries(['manufacturer', 'model', 'firmware', 'version', 'alarm'].map(key => [key, device[key] || '–'])),
      address: `${device.address} · ${device.transport}`,
      alive: ago(device.alive),
      since: moment(device.since),
      gone: moment(device.gone),
      channels: number(channelsOf(device).length),
    });
    list.querySelector('[data-fact=gone]').parentElement.hidden = !device.gone;
    list.querySelector('[data-fact=alarm]').classList.toggle('warn', Boolean(device.alarm));
  };
  return element;
}
