// Streams that devices send to ports that somebody else tells them.
import { api } from '../api.js';
import { h } from '../dom.js';
import { attempt, confirmed } from '../dialogs.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { button } from './controls.js';
import { listCard } from './list-card.js';
import { field, figure, figureOf, line, options, orderDialog } from './order-form.js';
import { sessionCell, streamCell } from './relays.js';
import { buttonCell, noRows, stackedCell, table, textCell } from './table.js';

const transports = ['udp', 'tcp', 'tcp_active', 'shared'];

/** The SSRC that was agreed on, and the other one that comes. */
const ssrcCell = stackedCell(({ ssrc }) => ssrc ?? '–', ({ ssrc, received_ssrc: received }) =>
  (received !== null && received !== ssrc ? t('receiver.other_ssrc', { ssrc: received }) : ''), { className: 'mono', belowName: 'reason warn' });

function packets({ packets: came, lost, foreign }) {
  return [number(came), lost && t('receiver.lost', { n: number(lost) }), foreign && t('receiver.foreign', { n: number(foreign) })]
    .filter(Boolean).join(' · ');
}

async function openDialogOf(then) {
  const stream = line('receiver-stream', { required: true, placeholder: 'gb/gate' });
  const port = figure('receiver-port', { min: 1, max: 65_535, placeholder: t('receiver.any_port') });
  const ssrc = figure('receiver-ssrc', { min: 0, max: 4_294_967_295 });
  const peer = line('receiver-peer', { placeholder: '192.0.2.7:9000' });
  const [portField, peerField] = [field(t('receiver.port'), port), field(t('receiver.connect_to'), peer)];
  const adapt = () => {
    // Only what the way of the packets asks for.
    peerField.hidden = transport.value !== 'tcp_active';
    peer.required = !peerField.hidden;
    portField.hidden = ['tcp_active', 'shared'].includes(transport.value);
    ssrc.required = transport.value === 'shared';
  };
  const transport = options('receiver-transport', transports.map(name => [name, t(`receiver.transport.${name}`)]), { change: adapt });
  const payload = options('receiver-payload', [['ps', t('receiver.payload.ps')], ['h264', 'H.264'], ['h265', 'H.265']]);
  adapt();
  const fields = [
    field(t('publish.name'), stream, t('publish.name.help')),
    field(t('receiver.transport'), transport),
    portField, peerField,
    h('div', { class: 'field-pair' }, field('SSRC', ssrc, t('receiver.ssrc.help')), field(t('receiver.payload'), payload)),
  ];
  const sent = await orderDialog(t('receiver.open'), fields, t('receiver.open.start'), () => {
    const shared = transport.value === 'shared';
    return api.post('/receivers', {
      stream: stream.value.trim(),
      ...(shared ? { shared } : { transport: transport.value }),
      ssrc: figureOf(ssrc),
      port: portField.hidden ? undefined : figureOf(port),
      connect_to: peerField.hidden ? undefined : peer.value.trim(),
      payload: payload.value,
    });
  }, opened => (opened.port ? t('receiver.opened', { name: opened.stream, port: opened.port }) : t('relay.started', { name: opened.stream })));
  if (sent) then();
}

async function stop(receiver, refresh) {
  const sure = await confirmed(t('relay.stop', { name: receiver.stream }), t('receiver.stop.text'), t('stop'));
  if (!sure) return;
  await attempt(() => api.remove(`/receivers?${new URLSearchParams({ stream: receiver.stream })}`), t('relay.stopped', { name: receiver.stream }));
  refresh();
}

/** The card. */
export function receiversCard(refresh) {
  const list = table({
    label: t('receivers'),
    id: 'receivers',
    key: receiver => receiver.stream,
    columns: [
      { key: 'stream', label: t('session.stream'), className: 'wide', cell: streamCell() },
      { key: 'transport', label: t('receiver.transport'), cell: textCell(({ transport }) => t(`receiver.transport.${transport}`)) },
      { key: 'port', label: t('receiver.port'), className: 'num', cell: textCell(receiver => receiver.port || '–', 'mono strong') },
      { key: 'peer', label: t('session.peer'), cell: textCell(receiver => receiver.peer ?? t('receiver.nobody'), 'mono') },
      { key: 'ssrc', label: 'SSRC', cell: ssrcCell },
      { key: 'packets', label: t('receiver.packets'), className: 'num', cell: textCell(packets) },
      { key: 'left_out', label: t('receiver.left_out'), cell: textCell(receiver => receiver.left_out.join(', ') || '–') },
      { key: 'session', label: t('session'), cell: sessionCell },
      { key: 'stop', label: t('actions'), quiet: true, className: 'end', cell: buttonCell('stop', t('stop'), receiver => stop(receiver, refresh)) },
    ],
  });
  const element = listCard({
    title: t('receivers'), list, id: 'receivers', search: t('search.relays'), none: noRows(t('receivers.none')),
    actions: [button('publish', t('receiver.open'), () => openDialogOf(refresh), { id: 'receive' })],
    text: receiver => [receiver.stream, receiver.peer, receiver.port, receiver.ssrc].join(' '),
  });
  const { update } = element;
  element.update = items => update(items.map(item => ({ ...item, name: item.stream })));
  return element;
}
