// How to publish to this server, with its addresses filled in.
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { publishTarget, streamUrls } from '../links.js';
import { setQuery } from '../router.js';
import { serverKnown } from '../shell.js';
import { card, emptyState, viewHead } from '../parts/controls.js';
import { copyBlock, copyLine } from '../copy.js';

/** Text as one word of a shell. */
function quoted(text) {
  return /^[\w@%+=:,./[\]-]*$/.test(text) && !/[[\]]/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const ffmpeg = 'ffmpeg -re -i FILE -c:v libx264 -preset veryfast -tune zerolatency -g 50 -c:a aac';
const picture = 'videotestsrc is-live=true ! x264enc tune=zerolatency key-int-max=50 ! h264parse';
const tone = 'audiotestsrc is-live=true ! avenc_aac ! aacparse';

/** A card with a command. */
function commandCard(title, text, command) {
  return card(title, h('p', { class: 'soft' }, text), copyBlock(`${t('publish.command')}: ${title}`, command));
}

function rtmpCards(target) {
  return [
    card('OBS Studio', h('p', { class: 'soft' }, t('publish.obs')),
      h('dl', { class: 'copy-lines' }, copyLine(t('publish.server'), target.server), copyLine(t('publish.key'), target.key))),
    commandCard('ffmpeg · RTMP', t('publish.ffmpeg'), `${ffmpeg} -f flv ${quoted(target.url)}`),
    commandCard('GStreamer · RTMP', t('publish.gstreamer'),
      `gst-launch-1.0 flvmux name=mux streamable=true ! rtmp2sink location=${quoted(target.url)} ${picture} ! mux. ${tone} ! mux.`),
  ];
}

function rtspCards(target) {
  return [
    commandCard('ffmpeg · RTSP', t('publish.rtsp'), `${ffmpeg} -f rtsp -rtsp_transport tcp ${quoted(target.url)}`),
    commandCard('GStreamer · RTSP', t('publish.gstreamer'),
      `gst-launch-1.0 rtspclientsink name=sink protocols=tcp location=${quoted(target.url)} ${picture} ! sink. ${tone} ! sink.`),
  ];
}

/** The view. */
export function publishView(root, { query, signal }) {
  const cards = h('div', { class: 'cards', id: 'publish' });
  const field = h('input', {
    id: 'publish-name', value: query.get('stream') ?? 'live/me', autocomplete: 'off', spellcheck: 'false',
    'aria-describedby': 'publish-help', on: { input: draw },
  });
  root.append(
    viewHead(t('nav.publish'), t('publish.text')),
    h('div', { class: 'card name-field' }, h('label', { for: 'publish-name' }, t('publish.name')), field,
      h('p', { class: 'soft', id: 'publish-help' }, t('publish.name.help'))),
    cards);
  let server = null;

  function draw() {
    if (!server || signal.aborted) return;
    const name = field.value.trim().replace(/^\/+|\/+$/g, '') || 'live/me';
    setQuery({ stream: name === 'live/me' ? '' : name });
    const [rtmp, rtsp] = ['rtmp', 'rtsp'].map(scheme => publishTarget(scheme, name, server.ports)
      ?? publishTarget(`${scheme}s`, name, server.ports));
    if (!rtmp && !rtsp) {
      cards.replaceChildren(emptyState('publish', t('publish.closed'), t('publish.closed.text')));
      return;
    }
    const urls = streamUrls(name, server).filter(([what]) => ['player', 'HTTP-FLV', 'HLS', 'RTMP', 'RTSP'].includes(what));
    cards.replaceChildren(...(rtmp ? rtmpCards(rtmp) : []), ...(rtsp ? rtspCards(rtsp) : []),
      card(t('publish.watch'), h('p', { class: 'soft' }, t('publish.watch.text')),
        h('dl', { class: 'copy-lines' }, urls.map(([what, url]) => copyLine(what === 'player' ? t('url.player') : what, url)))));
  }
  serverKnown().then(known => {
    server = known;
    draw();
  });
  return t('nav.publish');
}
