// What an operator enters to have a stream pulled or pushed.
import { api } from '../api.js';
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { field, figure, figureOf, line, options, orderDialog } from './order-form.js';

/** Asks what is to be pulled. */
export async function pullDialog(then) {
  const stream = line('pull-stream', { required: true, placeholder: 'cameras/door' });
  const from = h('textarea', {
    id: 'pull-from', required: true, rows: 3, spellcheck: 'false', autocapitalize: 'off', wrap: 'off',
    placeholder: 'rtsp://user:password@192.0.2.7/ch1',
  });
  const stopAfter = figure('pull-stop-after', { min: 0, placeholder: t('relay.ever') });
  const transport = options('pull-transport', [['', t('relay.transport.usual')], ['tcp', 'TCP'], ['udp', 'UDP'], ['auto', t('relay.transport.auto')]]);
  const fields = [
    field(t('publish.name'), stream, t('publish.name.help')),
    field(t('relay.pulls.addresses'), from, t('relay.pull.help')),
    h('div', { class: 'field-pair' },
      field(t('relay.stop_after'), stopAfter, t('relay.stop_after.help')),
      field(t('relay.transport'), transport)),
  ];
  const sent = await orderDialog(t('relay.pull'), fields, t('relay.pull.start'), () => api.post('/pulls', {
    stream: stream.value.trim(),
    from: from.value.split(/\s+/).filter(Boolean),
    stop_after_seconds: figureOf(stopAfter),
    rtsp_transport: transport.value || undefined,
  }), pull => t('relay.started', { name: pull.stream }));
  if (sent) then();
}

/** Asks what is to be pushed. */
export async function pushDialog(then) {
  const stream = line('push-stream', { required: true, placeholder: 'live/show' });
  const to = line('push-to', { required: true, placeholder: 'rtmp://a.rtmp.youtube.com/live2/KEY' });
  const fields = [
    field(t('publish.name'), stream, t('publish.name.help')),
    field(t('relay.pushes.addresses'), to, t('relay.push.help')),
  ];
  const sent = await orderDialog(t('relay.push'), fields, t('relay.push.start'),
    () => api.post('/pushes', { stream: stream.value.trim(), to: to.value.trim() }),
    push => t('relay.started', { name: push.stream }));
  if (sent) then();
}
