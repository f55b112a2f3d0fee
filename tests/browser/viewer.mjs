// Opens the viewers' page in headless Chromium, and waits for what a stream becomes.
// Arguments: URL; `sounds` (there is sound) or `silent` (there is none) to wait for in the end; a
// folder, which gets a file `plays` when the picture moves, and `viewer.png` at the end. Prints
// what it saw as JSON.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, wanted, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-first-run',
    '--autoplay-policy=no-user-gesture-required'],
});
const seen = { errors: [], requests: [], ok: false };
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 700 } });
  page.on('pageerror', error => seen.errors.push(String(error)));
  page.on('request', request => {
    const container = /\.(flv|ts|mp4|m3u8)$/.exec(new URL(request.url()).pathname)?.[1];
    if (container) seen.requests.push(container);
  });
  await page.goto(url, { timeout: 20_000 });
  const look = () => page.evaluate(() => {
    const video = document.getElementById('video');
    return {
      time: video.currentTime,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      audioBytes: video.webkitAudioDecodedByteCount,
      message: document.getElementById('message').textContent,
      transport: document.querySelector('#controls select').value,
      note: document.querySelector('#controls .note').textContent,
    };
  });
  /** Waits until the picture moves for some seconds on end, and it is as `is` wants it. */
  const moves = async (is, limit) => {
    let calm = 0;
    for (const end = Date.now() + limit; Date.now() < end;) {
      const first = await look();
      await page.waitForTimeout(1000);
      Object.assign(seen, await look());
      const moved = seen.time > first.time && seen.frames > first.frames && seen.message === '';
      calm = moved && is(seen, first) ? calm + 1 : 0;
      if (calm === 3) return true;
    }
    return false;
  };
  if (await moves(() => true, 40_000)) writeFileSync(join(folder, 'plays'), '');
  const sounds = wanted === 'sounds';
  seen.ok = await moves((now, before) => (sounds ? now.audioBytes > before.audioBytes : now.audioBytes === 0), 60_000);
  await page.screenshot({ path: join(folder, 'viewer.png') });
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
