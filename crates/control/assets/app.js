// The page: lists streams, plays one with mpegts.js, and gives URLs to copy.
'use strict';

const $ = id => document.getElementById(id);
const video = $('video');
const query = new URLSearchParams(location.search);
let ports = { rtmp: 1935, rtmps: 4935, https: 4433 };
let player = null;
let current = '';
let started = 0;

/** Builds an element; text is never markup. */
function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  Object.assign(made, attributes);
  return made;
}

function say(text) {
  $('message').textContent = text;
}

function origin(scheme, port, usual) {
  const host = location.hostname;
  return `${scheme}://${host}${port && port !== usual ? `:${port}` : ''}`;
}

function mediaUrl(name, transport, container) {
  const secure = location.protocol === 'https:';
  const scheme = { http: secure ? 'https' : 'http', ws: secure ? 'wss' : 'ws' }[transport];
  const path = name.split('/').map(encodeURIComponent).join('/');
  const folder = container === 'm3u8' ? 'hls/' : '';
  return `${scheme}://${location.host}/${folder}${path}.${container}`;
}

/** A list of names and texts, each with a button that copies it. */
function copyable(target, entries) {
  const list = element('dl');
  for (const [what, text] of entries) {
    const line = element('dd');
    const button = element('button', 'Copy', { type: 'button' });
    button.addEventListener('click', async () => {
      await navigator.clipboard?.writeText(text);
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = 'Copy'; }, 1500);
    });
    line.append(element('code', text), button);
    list.append(element('dt', what), line);
  }
  target.replaceChildren(list);
}

function showUrls(name) {
  copyable($('urls'), [
    ['HLS', mediaUrl(name, 'http', 'm3u8')],
    ['HTTP-FLV', mediaUrl(name, 'http', 'flv')],
    ['WebSocket-FLV', mediaUrl(name, 'ws', 'flv')],
    ['MPEG-TS', mediaUrl(name, 'http', 'ts')],
    ['MP4', mediaUrl(name, 'http', 'mp4')],
    ['RTMP', `${origin('rtmp', ports.rtmp, 1935)}/${name}`],
  ].filter(([what]) => what !== 'RTMP' || ports.rtmp));
}

function showPublish() {
  if (!ports.rtmp) {
    $('publish').replaceChildren(element('p', 'This server takes no RTMP.'));
    return;
  }
  const server = `${origin('rtmp', ports.rtmp, 1935)}/live`;
  copyable($('publish'), [
    ['OBS: server (stream key: me)', server],
    ['ffmpeg', `ffmpeg -re -i FILE -c:v libx264 -g 50 -c:a aac -f flv ${server}/me`],
    ['GStreamer', `gst-launch-1.0 videotestsrc is-live=true ! x264enc tune=zerolatency `
      + `key-int-max=50 ! h264parse ! flvmux streamable=true ! rtmp2sink location=${server}/me`],
  ]);
}

function stop() {
  if (!player) return;
  const old = player;
  player = null;
  old.destroy();
}

function play(name) {
  stop();
  current = name;
  $('name').value = name;
  history.replaceState(null, '', `?stream=${encodeURIComponent(name)}`);
  showUrls(name);
  const native = video.canPlayType('application/vnd.apple.mpegurl');
  if (!window.mpegts?.isSupported() && !native) {
    say('This browser has neither Media Source Extensions nor HLS. Use a URL below in a player.');
    return;
  }
  say('Waiting for the stream …');
  started = performance.now();
  if (!window.mpegts?.isSupported()) {
    // Phones of Apple.
    video.src = mediaUrl(name, 'http', 'm3u8');
    video.play().catch(() => say('Press Play to begin.'));
    mark();
    return;
  }
  const [transport, container] = $('transport').value.split('+');
  const url = mediaUrl(name, transport, container);
  const type = container === 'ts' ? 'mpegts' : 'flv';
  player = mpegts.createPlayer({ type, isLive: true, url }, {
    liveBufferLatencyChasing: true,
    liveBufferLatencyMaxLatency: 1.5,
    liveBufferLatencyMinRemain: 0.3,
  });
  player.on(mpegts.Events.ERROR, (kind, detail, info) => {
    if (info?.code === 404) say(`Nobody publishes ${name} here.`);
    else if (kind === mpegts.ErrorTypes.MEDIA_ERROR) {
      say('This browser cannot play the codec of this stream. Use a URL below in a player.');
    } else say(`The stream broke off (${detail}).`);
  });
  player.on(mpegts.Events.LOADING_COMPLETE, () => say('The stream has ended.'));
  player.attachMediaElement(video);
  player.load();
  video.play().catch(() => say('Press Play to begin.'));
  mark();
}

video.addEventListener('playing', () => {
  if (!started) return;
  say('');
  $('figures').dataset.first = Math.round(performance.now() - started);
  started = 0;
});

function mark() {
  for (const button of $('streams').querySelectorAll('button')) {
    button.setAttribute('aria-pressed', String(button.value === current));
  }
}

async function refresh() {
  try {
    const answer = await fetch('/api/streams', { cache: 'no-store' });
    if (!answer.ok) throw new Error(await answer.text());
    const told = await answer.json();
    if (JSON.stringify(ports) !== JSON.stringify(told.ports)) {
      ports = told.ports;
      if (current) showUrls(current);
    }
    const buttons = told.streams.map(stream => {
      const item = element('li');
      const button = element('button', stream.name, { type: 'button', value: stream.name });
      const facts = [stream.video, stream.audio, `${stream.kbps} kbit/s`,
        `${stream.viewers} watching`].filter(Boolean);
      button.append(element('small', facts.join(' · ')));
      button.addEventListener('click', () => play(stream.name));
      item.append(button);
      return item;
    });
    $('streams').replaceChildren(...buttons);
    $('none').hidden = buttons.length > 0;
    mark();
    if (!current && !query.has('stream') && told.streams.length) play(told.streams[0].name);
  } catch (error) {
    $('none').hidden = false;
    $('none').textContent = 'The list of streams is only shown on the server itself. '
      + 'Type a name above to play it.';
  }
  if (!$('publish').firstChild) showPublish();
}

setInterval(() => {
  if (!player) return;
  const quality = video.getVideoPlaybackQuality?.();
  const buffered = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : 0;
  const facts = [
    `${Math.max(0, buffered - video.currentTime).toFixed(1)} s buffered`,
    quality && `${quality.totalVideoFrames} frames`,
    $('figures').dataset.first && `first after ${$('figures').dataset.first} ms`,
  ];
  $('figures').value = facts.filter(Boolean).join(' · ');
}, 1000);

$('sound').addEventListener('click', () => {
  video.muted = !video.muted;
  $('sound').textContent = video.muted ? 'Sound on' : 'Sound off';
});
$('transport').addEventListener('change', () => current && play(current));
$('open').addEventListener('submit', event => {
  event.preventDefault();
  const name = $('name').value.trim().replace(/^\/+|\/+$/g, '');
  if (name) play(name);
});

const over = { ws: 'ws+flv', ts: 'http+ts', 'ws-ts': 'ws+ts' }[query.get('over')];
if (over) $('transport').value = over;
if (query.has('stream')) play(query.get('stream'));
refresh();
setInterval(refresh, 2000);
