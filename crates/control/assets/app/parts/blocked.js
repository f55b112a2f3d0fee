// Addresses that the server does not speak with.
import { api, poll } from '../api.js';
import { h } from '../dom.js';
import { attempt } from '../dialogs.js';
import { date } from '../format.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { card } from './controls.js';
import { buttonCell, noRows, table, textCell } from './table.js';

const times = [[600, '10 min'], [3600, '1 h'], [86_400, '24 h'], [604_800, '7 d']];

/** A card to see, add and remove blocked addresses. */
export function blockedCard(signal) {
  const none = noRows(t('blocked.none'));
  const list = table({
    label: t('blocked'),
    id: 'blocked',
    key: entry => entry.ip,
    columns: [
      { key: 'ip', label: t('blocked.address'), className: 'wide', cell: textCell(entry => entry.ip, 'mono strong') },
      { key: 'until', label: t('blocked.until'), className: 'num', cell: textCell(entry => (entry.until ? date(entry.until) : t('blocked.ever'))) },
      { key: 'remove', label: t('actions'), quiet: true, className: 'end', cell: buttonCell('close', t('unblock'), async entry => {
        draw(await attempt(() => api.post('/access/unblock', { ip: entry.ip }), t('unblock.done', { ip: entry.ip })));
      }) },
    ],
  });
  const address = h('input', { id: 'block-ip', required: true, autocomplete: 'off', spellcheck: 'false', placeholder: '203.0.113.7' });
  const lasting = h('select', { id: 'block-time' }, times.map(([seconds], index) => h('option', { value: seconds }, t(`blocked.time.${index}`))));
  const form = h('form', {
    class: 'inline-form',
    on: {
      submit: async event => {
        event.preventDefault();
        const ip = address.value.trim();
        const answer = await attempt(() => api.post('/access/block', { ip, seconds: Number(lasting.value) }), t('block.done', { ip }));
        if (answer) form.reset();
        draw(answer);
      },
    },
  }, h('label', {}, h('span', {}, t('blocked.address')), address), h('label', {}, h('span', {}, t('blocked.for')), lasting),
  h('button', { class: 'button danger', id: 'block' }, icon('shield'), h('span', {}, t('block'))));

  function draw(answer) {
    if (!answer || signal.aborted) return;
    list.update(answer.items);
    list.hidden = !answer.items.length;
    none.hidden = answer.items.length > 0;
  }
  list.hidden = true;
  poll(async () => draw(await api.get('/access/blocked', {}, signal)), 5000, signal);
  return card(t('blocked'), h('p', { class: 'soft' }, t('blocked.text')), form, list, none);
}
