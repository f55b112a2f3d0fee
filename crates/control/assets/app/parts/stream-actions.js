// What an operator does to a stream: end sessions, and record.
import { api } from '../api.js';
import { h, setAttribute, setText } from '../dom.js';
import { attempt, confirmed } from '../dialogs.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { button } from './controls.js';

/** Buttons that kick the publisher or all viewers. */
export function kickButtons(name, refresh) {
  const kick = async who => {
    const sure = await confirmed(t(`kick.${who}`), t(`kick.${who}.text`, { name }), t('kick'));
    if (!sure) return;
    await attempt(() => api.post('/streams/kick', { stream: name, who }), answer => t('kick.count', { n: answer.kicked }));
    refresh();
  };
  const publisher = button('kick', t('kick.publisher'), () => kick('publisher'), { id: 'kick-publisher', kind: 'quiet-danger' });
  const viewers = button('kick', t('kick.viewers'), () => kick('viewers'), { id: 'kick-viewers', kind: 'quiet-danger' });
  const element = h('div', { class: 'actions' }, viewers, publisher);
  element.update = stream => {
    publisher.disabled = !stream?.publisher;
    viewers.disabled = !stream?.viewers;
  };
  return element;
}

/** A switch for each format of recordings. */
export function recordButtons(name, refresh) {
  const formats = ['flv', 'ts', 'mp4'].map(format => {
    const text = h('span', {}, format.toUpperCase());
    const element = h('button', {
      type: 'button', class: 'button small record', 'aria-pressed': 'false', 'data-format': format,
      on: {
        click: async () => {
          const running = element.getAttribute('aria-pressed') === 'true';
          element.disabled = true;
          await attempt(() => api.post(`/record/${running ? 'stop' : 'start'}`, { stream: name, format }),
            t(running ? 'record.stopped' : 'record.started', { format: format.toUpperCase() }));
          element.disabled = false;
          refresh();
        },
      },
    }, h('i', { class: 'dot' }), text);
    return { format, element };
  });
  const element = h('div', { class: 'record-buttons', role: 'group', 'aria-label': t('record') },
    h('span', { class: 'soft' }, t('record')), formats.map(({ element: each }) => each),
    h('a', { class: 'button small', href: `#/recordings?stream=${encodeURIComponent(name)}` }, icon('recordings'), h('span', {}, t('nav.recordings'))));
  element.update = stream => {
    for (const { format, element: each } of formats) {
      const running = (stream?.recording ?? []).includes(format);
      setAttribute(each, 'aria-pressed', String(running));
      setAttribute(each, 'aria-label', t(running ? 'record.stop' : 'record.start', { format: format.toUpperCase() }));
      setText(each.lastElementChild, format.toUpperCase());
    }
  };
  element.update(null);
  return element;
}
