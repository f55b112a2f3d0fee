// Plays HLS with hls.js in headless Firefox, which decodes HEVC, and prints what it saw as JSON.
// Arguments: URL, seconds to play, a folder for the browser's profile.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [url, seconds, profile] = process.argv.slice(2);
const modules = join(dirname(new URL(import.meta.url).pathname), 'node_modules');
const script = readFileSync(join(modules, 'hls.js/dist/hls.min.js'));
const page = `<!doctype html><meta charset="utf-8"><video id="video" muted autoplay></video>
<script src="/player.js"></script><script>
const fatal = [];
const hls = new Hls({ lowLatencyMode: true });
hls.on(Hls.Events.ERROR, (_, data) => { if (data.fatal) fatal.push(data.details); });
hls.loadSource(${JSON.stringify(url)});
hls.attachMedia(video);
video.play().catch(error => fatal.push(String(error)));
const started = performance.now();
const timer = setInterval(() => {
  const begun = video.played.length ? video.played.start(0) : video.currentTime;
  if (video.currentTime - begun < ${Number(seconds)}
    && performance.now() - started < 40000 && !fatal.length) return;
  clearInterval(timer);
  const { totalVideoFrames: frames, droppedVideoFrames: dropped } = video.getVideoPlaybackQuality();
  const { currentTime: time, videoWidth: width } = video;
  const seen = { time, width, frames, dropped, latency: hls.latency, fatal };
  fetch('/seen', { method: 'POST', body: JSON.stringify(seen) });
}, 200);
</script>`;

const seen = await new Promise((resolve, reject) => {
  const server = createServer((request, response) => {
    if (request.url === '/seen') {
      let body = '';
      request.on('data', chunk => { body += chunk; });
      request.on('end', () => { response.end(); server.close(); resolve(body); });
      return;
    }
    const isScript = request.url === '/player.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(isScript ? script : page);
  });
  server.listen(0, '127.0.0.1', () => {
    const address = `http://127.0.0.1:${server.address().port}/`;
    const firefox = spawn('firefox-esr',
      ['--headless', '--no-remote', '--profile', profile, address],
      { env: { ...process.env, HOME: profile }, stdio: 'ignore' });
    firefox.on('error', reject);
    const end = () => firefox.kill();
    server.on('close', end);
    setTimeout(() => { end(); reject(new Error('Firefox says nothing')); }, 55000).unref();
  });
});
console.log(seen);
process.exit(0);
