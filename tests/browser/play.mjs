// Opens the page in headless Chromium and watches what it plays.
// Arguments: URL, and where to put a screenshot. Prints what it saw as JSON.
import { chromium } from 'playwright-core';

const [url, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-first-run',
    '--autoplay-policy=no-user-gesture-required'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  const errors = [];
  page.on('pageerror', error => errors.push(String(error)));
  await page.goto(url, { timeout: 20000 });
  // A few seconds of moving picture.
  await page.waitForFunction(() => document.getElementById('video').currentTime > 1, null,
    { timeout: 30000 });
  const look = () => page.evaluate(() => {
    const video = document.getElementById('video');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [160, 90];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, 160, 90);
    const pixels = context.getImageData(0, 0, 160, 90).data;
    let hash = 0;
    for (const value of pixels) hash = (hash * 31 + value) | 0;
    return {
      time: video.currentTime,
      picture: hash,
      light: pixels.reduce((sum, value) => sum + value, 0),
      width: video.videoWidth,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
      audioBytes: video.webkitAudioDecodedByteCount,
      message: document.getElementById('message').textContent,
      streams: document.querySelectorAll('#streams button').length,
    };
  });
  const first = await look();
  // A machine that is busy shows fewer pictures than there are, but goes on showing them.
  await page.waitForFunction(first => {
    const video = document.getElementById('video');
    const shown = video.getVideoPlaybackQuality().totalVideoFrames;
    return video.currentTime > first.time + 1.5 && shown > first.frames + 20;
  }, first, { timeout: 20000 });
  const second = await look();
  await page.screenshot({ path: screenshot });
  console.log(JSON.stringify({ first, second, errors }));
} finally {
  await browser.close();
}
