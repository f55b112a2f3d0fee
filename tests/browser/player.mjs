// Plays a stream with a web player in headless Chromium, and prints what it saw as JSON.
// Arguments: player (hls.js, hls.js-ll, video.js, shaka, shaka-ll, mpegts.js, mse, ws-mse), URL,
// seconds to play, where to put a screenshot, and for mse the MIME type with codecs.
// Ends with 0 if it played, with 1 if it did not, with 2 if it was called wrongly.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';

const players = {
  'hls.js': 'hls.js/dist/hls.min.js',
  shaka: 'shaka-player/dist/shaka-player.compiled.js',
  'video.js': 'video.js/dist/video.min.js',
  'mpegts.js': 'mpegts.js/dist/mpegts.js',
  mse: null,
  'ws-mse': null,
};
const [player, url, seconds, screenshot, mime] = process.argv.slice(2);
const name = player?.replace(/-ll$/, '');
const lowLatency = player !== name;
if (!(name in players) || !URL.canParse(url) || !(Number(seconds) > 0)) {
  console.error(`usage: player.mjs PLAYER URL SECONDS [SCREENSHOT [MIME]], where PLAYER is ${
    Object.keys(players).join(', ')} (hls.js-ll, shaka-ll: at low latency)`);
  process.exit(2);
}

const modules = join(dirname(new URL(import.meta.url).pathname), 'node_modules');
const script = players[name] ? readFileSync(join(modules, players[name])) : '';
const page = `<!doctype html><meta charset="utf-8"><title>${player}</title>
<link rel="icon" href="data:,">
<video id="video" muted autoplay playsinline crossorigin="anonymous"
  width="640" height="360"></video>
<script src="/player.js"></script>`;

// The media come from another origin, as they do for pages of one's own.
const server = createServer((request, response) => {
  const isScript = request.url === '/player.js';
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? script : page);
});
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-first-run',
    '--autoplay-policy=no-user-gesture-required'],
});
const seen = { player, ok: false, errors: [], warnings: [] };
try {
  const tab = await browser.newPage({ viewport: { width: 800, height: 480 } });
  tab.on('pageerror', error => seen.errors.push(String(error)));
  tab.on('console', message => {
    if (['warning', 'error'].includes(message.type())) seen.warnings.push(message.text());
  });
  tab.on('response', response => {
    if (response.status() >= 400) seen.warnings.push(`${response.status()} ${response.url()}`);
  });
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  const deadline = Date.now() + 60_000;
  const until = (condition, argument) => tab.waitForFunction(condition, argument,
    { timeout: Math.max(1, deadline - Date.now()) });
  // A player that gave up needs no waiting for.
  const gaveUp = tab.waitForFunction(() => window.report?.().fatal.length > 0, null,
    { timeout: 0, polling: 500 }).then(() => 'it gave up', () => 'the page is gone');
  const watch = async () => {
    await tab.evaluate(start, { name, url, lowLatency, mime });
    // Some players put elements of their own around the one they are given.
    await until(() => {
      const video = document.querySelector('video');
      return video.currentTime > 0 && video.readyState > 2
        && video.getVideoPlaybackQuality().totalVideoFrames + video.webkitAudioDecodedByteCount > 0;
    });
    seen.first = await tab.evaluate(look);
    await until(time => document.querySelector('video').currentTime > time,
      seen.first.time + Number(seconds));
  };
  const failure = await Promise.race([watch().catch(error => error.message), gaveUp]);
  if (failure) seen.failure = failure; else seen.ok = true;
  seen.second = await tab.evaluate(look);
  Object.assign(seen, await tab.evaluate(() => window.report?.()));
  if (screenshot) await tab.screenshot({ path: screenshot });
} finally {
  await browser.close();
  server.close();
}
console.log(JSON.stringify(seen));
if (!seen.ok) {
  console.error(`${player} did not play ${url}: ${JSON.stringify(seen)}`);
  process.exitCode = 1;
}

/** In the page: begins to play. */
async function start({ name, url, lowLatency, mime }) {
  const video = document.getElementById('video');
  const fatal = [];
  const warn = text => console.warn(text);
  const began = performance.now();
  const counts = { stalls: 0, startedAfterMs: null };
  video.addEventListener('playing', () => {
    counts.startedAfterMs ??= Math.round(performance.now() - began);
  });
  video.addEventListener('waiting', () => {
    if (counts.startedAfterMs !== null) counts.stalls += 1;
  });
  video.addEventListener('error', () => fatal.push(`video ${video.error?.message}`));
  let more = () => ({});
  window.report = () => ({ fatal, ...counts, ...more() });
  if (name === 'hls.js') {
    const hls = new Hls({ lowLatencyMode: lowLatency });
    hls.on(Hls.Events.ERROR, (_, data) => {
      const text = `${data.type} ${data.details} ${data.reason ?? data.error?.message ?? ''}`;
      if (data.fatal) fatal.push(text); else warn(text);
    });
    more = () => ({
      version: Hls.version,
      latency: hls.latency,
      target: hls.targetLatency,
      // How long ago the server had what is shown, by the dates in the playlist.
      behind: hls.playingDate && (Date.now() - hls.playingDate.getTime()) / 1000,
      codecs: hls.levels.map(level => `${level.videoCodec},${level.audioCodec}`),
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  } else if (name === 'shaka') {
    shaka.polyfill.installAll();
    const shown = new shaka.Player();
    await shown.attach(video);
    shown.configure({ streaming: { lowLatencyMode: lowLatency } });
    shown.addEventListener('error', event => {
      const { code, data, severity } = event.detail;
      if (severity === shaka.util.Error.Severity.CRITICAL) fatal.push(`shaka ${code} ${data}`);
      else warn(`shaka ${code} ${data}`);
    });
    more = () => ({
      version: shaka.Player.version,
      latency: shown.getStats().liveLatency,
      codecs: shown.getVariantTracks().map(({ videoCodec, audioCodec }) =>
        `${videoCodec},${audioCodec}`),
    });
    shown.load(url).catch(error => fatal.push(`shaka ${error.code} ${error.data}`));
  } else if (name === 'video.js') {
    const shown = videojs(video, { muted: true, autoplay: true });
    shown.on('error', () => fatal.push(shown.error().message));
    more = () => ({
      version: videojs.VERSION,
      native: !shown.tech({ IWillNotUseThisInPlugins: true })?.vhs,
    });
    shown.src({ src: url, type: 'application/x-mpegURL' });
  } else if (name === 'mpegts.js') {
    const type = new URL(url).pathname.endsWith('.ts') ? 'mpegts' : 'flv';
    const shown = mpegts.createPlayer({ type, isLive: true, url });
    shown.on(mpegts.Events.ERROR, (kind, detail, info) =>
      fatal.push(`${kind} ${detail} ${info?.msg ?? ''}`));
    more = () => {
      const { videoCodec, audioCodec } = shown.mediaInfo;
      return { version: mpegts.version, codecs: [`${videoCodec},${audioCodec}`] };
    };
    shown.attachMediaElement(video);
    shown.load();
  } else {
    const source = new MediaSource();
    video.src = URL.createObjectURL(source);
    await new Promise(resolve => source.addEventListener('sourceopen', resolve, { once: true }));
    const buffer = source.addSourceBuffer(mime);
    const queue = [];
    const feed = () => {
      if (queue.length && !buffer.updating) buffer.appendBuffer(queue.shift());
      if (buffer.buffered.length && video.currentTime < buffer.buffered.start(0)) {
        video.currentTime = buffer.buffered.start(0);
      }
    };
    buffer.addEventListener('updateend', feed);
    buffer.addEventListener('error', () => fatal.push('the buffer refuses the media'));
    const take = bytes => { queue.push(bytes); feed(); };
    if (name === 'ws-mse') {
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      socket.onmessage = event => take(event.data);
      socket.onclose = event => fatal.push(`the connection closed: ${event.code}`);
    } else {
      const response = await fetch(url);
      if (!response.ok) fatal.push(`HTTP ${response.status}`);
      const reader = response.body.getReader();
      (async () => {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          take(value);
        }
        fatal.push('the response ended');
      })();
    }
  }
  video.play().catch(() => {});
}

/** In the page: what is to be seen. */
function look() {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [160, 90];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 160, 90);
  const pixels = context.getImageData(0, 0, 160, 90).data;
  const picture = pixels.reduce((hash, value) => (hash * 31 + value) | 0, 0);
  const ranges = [];
  for (let i = 0; i < video.buffered.length; i += 1) {
    ranges.push([video.buffered.start(i), video.buffered.end(i)]);
  }
  const { seekable } = video;
  return {
    time: video.currentTime,
    wall: performance.now() / 1000,
    picture,
    width: video.videoWidth,
    height: video.videoHeight,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
    buffered: ranges,
    liveDelay: seekable.length ? seekable.end(seekable.length - 1) - video.currentTime : null,
  };
}
