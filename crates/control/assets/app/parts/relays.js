// Tables of streams that come from other servers, or go there.
import { api } from '../api.js';
import { h, setAttribute, setText } from '../dom.js';
import { attempt, confirmed } from '../dialogs.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { streamAddress } from '../router.js';
import { button, toneBadge } from './controls.js';
import { listCard } from './list-card.js';
import { pullDialog, pushDialog } from './relay-forms.js';
import { buttonCell, noRows, stackedCell, table, textCell } from './table.js';

const tones = { running: 'live', calling: 'calling', waiting: 'away', idle: '' };

/** A stream with a link to its view, and words about it. */
export function streamCell(tags = () => []) {
  return () => {
    const link = h('a', { class: 'link' });
    const marks = h('span', { class: 'badges' });
    const element = h('span', { class: 'session-name' }, link, marks);
    element.update = item => {
      setText(link, item.stream);
      setAttribute(link, 'href', `#${streamAddress(item.stream)}`);
      const texts = tags(item);
      if (marks.textContent !== texts.join('')) marks.replaceChildren(...texts.map(text => h('span', { class: 'tag' }, text)));
      marks.hidden = !texts.length;
    };
    return element;
  };
}

/** A session with a link to it. */
export function sessionCell() {
  const element = h('a', { class: 'stream-link mono' });
  element.update = item => {
    setText(element, item.session ?? '–');
    setAttribute(element, 'href', item.session ? `#/sessions?search=${encodeURIComponent(item.session)}` : null);
  };
  return element;
}

function stateCell() {
  const badge = toneBadge();
  const error = h('small', { class: 'reason' });
  const element = h('div', { class: 'stacked' }, badge, error);
  element.update = relay => {
    badge.update(tones[relay.state] ?? '', t(`relay.state.${relay.state}`));
    setText(error, relay.last_error ?? '');
    error.hidden = !relay.last_error;
    error.classList.toggle('warn', relay.failures > 0);
  };
  return element;
}

function addressesCell() {
  const element = h('ol', { class: 'addresses mono' });
  element.update = ({ addresses, current }) => {
    while (element.childElementCount > addresses.length) element.lastElementChild.remove();
    while (element.childElementCount < addresses.length) element.append(h('li', {}));
    addresses.forEach((address, index) => {
      setText(element.children[index], address);
      // The one it is at, where there are several.
      setAttribute(element.children[index], 'aria-current', addresses.length > 1 && index === current ? 'true' : null);
    });
  };
  return element;
}

const triesCell = stackedCell(({ attempts }) => number(attempts),
  ({ failures }) => (failures ? t('relay.tries.failed', { n: number(failures) }) : ''), { belowName: 'reason warn' });

/** Two pushes of a stream may differ in nothing but their keys, which are hidden. */
function numbered(items) {
  const counts = new Map();
  return items.map(item => {
    const key = `${item.stream} ${item.addresses.join(' ')}`;
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return { ...item, key: `${key} ${count}`, name: item.stream };
  });
}

function relayCard(kind, stop, actions) {
  const list = table({
    label: t(`relay.${kind}`),
    id: kind,
    key: relay => relay.key,
    columns: [
      { key: 'stream', label: t('session.stream'), className: 'wide', cell: streamCell(relay => (relay.on_demand ? [t('relay.on_demand')] : [])) },
      { key: 'state', label: t('stream.state'), className: 'wide', cell: stateCell },
      { key: 'addresses', label: t(`relay.${kind}.addresses`), className: 'wide', cell: addressesCell },
      { key: 'tries', label: t('relay.tries'), cell: triesCell },
      { key: 'rule', label: t('relay.rule'), cell: textCell(relay => relay.rule ?? t('relay.rule.none'), 'mono') },
      { key: 'session', label: t('session'), cell: sessionCell },
      { key: 'stop', label: t('actions'), quiet: true, className: 'end', cell: buttonCell('stop', t('stop'), stop) },
    ],
  });
  const element = listCard({
    title: t(`relay.${kind}`), list, id: kind, actions, search: t('search.relays'), none: noRows(t(`relay.${kind}.none`)),
    text: relay => [relay.stream, ...relay.addresses, relay.rule, relay.last_error, t(`relay.state.${relay.state}`)].join(' '),
  });
  const { update } = element;
  element.update = items => update(numbered(items));
  return element;
}

async function stopped(relay, query, path, refresh) {
  const sure = await confirmed(t('relay.stop', { name: relay.stream }),
    t(relay.rule ? 'relay.stop.rule' : 'relay.stop.text', { address: relay.addresses.join(', ') }), t('stop'));
  if (!sure) return;
  await attempt(() => api.remove(`${path}?${new URLSearchParams(query)}`), t('relay.stopped', { name: relay.stream }));
  refresh();
}

/** Streams from other servers. */
export function pullsCard(refresh) {
  return relayCard('pulls', relay => stopped(relay, { stream: relay.stream }, '/pulls', refresh),
    [button('download', t('relay.pull'), () => pullDialog(refresh), { id: 'pull' })]);
}

/** Streams that go to other servers. */
export function pushesCard(refresh) {
  return relayCard('pushes', relay => stopped(relay, { stream: relay.stream, to: relay.addresses[0] }, '/pushes', refresh),
    [button('publish', t('relay.push'), () => pushDialog(refresh), { id: 'push' })]);
}
