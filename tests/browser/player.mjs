// Plays a stream with a web player in headless Chromium, and prints what it saw as JSON.
// Arguments: player (hls.js, hls.js-ll, video.js, shaka, shaka-ll, mpegts.js, mse, ws-mse), URL,
// seconds to play, where to put a screenshot, and for mse the MIME type with codecs.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';

const [player, url, seconds, screenshot, mime] = process.argv.slice(2);
const modules = join(dirname(new URL(import.meta.url).pathname), 'node_modules');
const scripts = {
  'hls.js': 'hls.js/dist/hls.min.js',
  shaka: 'shaka-player/dist/shaka-player.compiled.js',
  'video.js': 'video.js/dist/video.min.js',
  'mpegts.js': 'mpegts.js/dist/mpegts.js',
};
const name = player.replace(/-ll$/, '');
const lowLatency = player.endsWith('-ll');
const script = scripts[name] && readFileSync(join(modules, scripts[name]));
const page = `<!doctype html><meta charset="utf-8"><title>${player}</title>
<video id="video" muted autoplay playsinline width="640" height="360"></video>
<script src="/player.js"></script>`;

// The media come from another origin, as they do for pages of one's own.
const server = createServer((request, response) => {
  const isScript = request.url === '/player.js';
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? script ?? '' : page);
});
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-first-run',
    '--autoplay-policy=no-user-gesture-required'],
});
const errors = [];
try {
  const tab = await browser.newPage({ viewport: { width: 800, height: 480 } });
  tab.on('pageerror', error => errors.push(String(error)));
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  await tab.evaluate(start, { name, url, lowLatency, mime });
  const limit = { timeout: 45000 };
  // Some players put elements of their own around the one they are given.
  await tab.waitForFunction(() => {
    const video = document.querySelector('video');
    return video.currentTime > 0 && video.readyState > 2
      && video.getVideoPlaybackQuality().totalVideoFrames + video.webkitAudioDecodedByteCount > 0;
  }, null, limit);
  const first = await tab.evaluate(look);
  await tab.waitForFunction(time => document.querySelector('video').currentTime > time,
    first.time + Number(seconds), limit);
  const second = await tab.evaluate(look);
  await tab.screenshot({ path: screenshot });
  const report = await tab.evaluate(() => window.report?.() ?? {});
  console.log(JSON.stringify({ player, first, second, errors, ...report }));
} finally {
  await browser.close();
  server.close();
}

/** In the page: begins to play. */
async function start({ name, url, lowLatency, mime }) {
  const video = document.getElementById('video');
  const fatal = [];
  window.report = () => ({ fatal });
  if (name === 'hls.js') {
    const hls = new Hls({ lowLatencyMode: lowLatency });
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (data.fatal) fatal.push(`${data.type} ${data.details}`);
    });
    window.report = () => ({
      fatal, latency: hls.latency, target: hls.targetLatency, version: Hls.version,
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  } else if (name === 'shaka') {
    shaka.polyfill.installAll();
    const shown = new shaka.Player();
    await shown.attach(video);
    shown.configure({ streaming: { lowLatencyMode: lowLatency } });
    shown.addEventListener('error', event => fatal.push(`shaka ${event.detail.code}`));
    shown.load(url).catch(error => fatal.push(`shaka ${error.code} ${error.data}`));
  } else if (name === 'video.js') {
    const shown = videojs(video, { muted: true, autoplay: true });
    shown.on('error', () => fatal.push(shown.error().message));
    shown.src({ src: url, type: 'application/x-mpegURL' });
  } else if (name === 'mpegts.js') {
    const type = new URL(url).pathname.endsWith('.ts') ? 'mpegts' : 'flv';
    const shown = mpegts.createPlayer({ type, isLive: true, url });
    shown.on(mpegts.Events.ERROR, (kind, detail) => fatal.push(`${kind} ${detail}`));
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
    } else {
      const reader = (await fetch(url)).body.getReader();
      (async () => {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          take(value);
        }
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
  let picture = 0;
  for (const value of context.getImageData(0, 0, 160, 90).data) picture = (picture * 31 + value) | 0;
  const ranges = [];
  for (let i = 0; i < video.buffered.length; i += 1) {
    ranges.push([video.buffered.start(i), video.buffered.end(i)]);
  }
  return {
    time: video.currentTime,
    wall: performance.now() / 1000,
    picture,
    width: video.videoWidth,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
    buffered: ranges,
  };
}
