// Drives the operator's page in headless Chromium, and prints what it saw as JSON.
//   page.mjs URL walk FOLDER [SINCE [STREAM]]   plays, records and kicks; SINCE is the time of the
//       publication in milliseconds, or a file that holds it by the time the stream shows up.
//       FOLDER/open is written once the page waits for the stream.
//   page.mjs URL looks FOLDER STREAM [LOOK ...] takes pictures of every view: light, dark, chinese, phone
//   page.mjs URL axe FOLDER [STREAM]            looks for faults of accessibility in every view
//   page.mjs URL token FOLDER TOKEN             is asked for a token, shows a wrong and a right one
//   page.mjs URL keyboard FOLDER [STREAM]       reaches and plays a stream without a mouse
//   page.mjs URL devices FOLDER DEVICE CHANNEL  turns a camera of GB/T 28181 and looks at its picture
//   page.mjs URL relays FOLDER FROM STREAM      has a stream pulled, and a port opened for a device
//   page.mjs URL recordings FOLDER SEARCH [TOKEN]  plays a file of each format
//   page.mjs URL plays FOLDER NAME STREAM [OVER]  plays as the page chooses, or over OVER. Once FOLDER/goes is there,
//       it looks again; FOLDER/plays is written before. Without FOLDER/awaits, it does not wait for that.
//   page.mjs URL leaves FOLDER STREAM           watches while the publisher, who goes when FOLDER/plays is there,
//       is away, until the stream is gone
//   page.mjs - words                            compares the dictionaries
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';
import { devices, recordings, relays } from './steer.mjs';

const [url, action, folder, ...rest] = process.argv.slice(2);
const here = dirname(new URL(import.meta.url).pathname);
const seen = { action, errors: [] };
const transports = ['flv', 'ws', 'ts', 'ws-ts', 'hls', 'mp4', 'ws-mp4'];
const views = ['/', '/sessions', '/devices', '/relays', '/publish', '/recordings', '/events', '/log', '/settings'];
let browser = null;

/** A page whose errors are noted; failed fetches of media and of the API are no errors of it. */
async function openPage(options = {}, path = '') {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-US', ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  page.on('pageerror', error => seen.errors.push(String(error.stack ?? error)));
  page.on('console', message => {
    if (message.type() !== 'error') return;
    const where = message.location().url;
    const asset = where.startsWith(new URL(url).origin) && !/\/(api|healthz|record)\b/.test(where);
    const text = message.text();
    const failed = /^WebSocket connection|CORS policy/.test(text) || (/Failed to load resource/.test(text) && !asset);
    if (!failed) seen.errors.push(`${text} (${where})`);
  });
  await page.goto(url + path, { timeout: 20_000 });
  return page;
}

const shot = (page, name, fullPage = false) => page.screenshot({ path: join(folder, `${name}.png`), fullPage });
const to = (page, address) => page.evaluate(hash => { location.hash = hash; }, address);
const encoded = name => name.split('/').map(encodeURIComponent).join('/');

/** What the video shows now. */
const look = page => page.evaluate(() => {
  const video = document.getElementById('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [160, 90];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0, 160, 90);
  const pixels = context.getImageData(0, 0, 160, 90).data;
  let picture = 0;
  for (const value of pixels) picture = (picture * 31 + value) | 0;
  return {
    time: video.currentTime,
    picture,
    width: video.videoWidth,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    dropped: video.getVideoPlaybackQuality().droppedVideoFrames,
    audioBytes: video.webkitAudioDecodedByteCount,
    message: document.getElementById('message').textContent,
  };
});

/** Plays over one transport for some seconds. */
async function playOver(page, transport) {
  await page.selectOption('#transport', transport);
  const start = page.locator('#play');
  if (await start.isVisible()) await start.click();
  try {
    await page.waitForFunction(() => document.querySelector('.player').dataset.state === 'playing'
      && document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames > 5, null, { timeout: 25_000 });
    const first = await look(page);
    // Jumps to the newest picture are no progress: pictures are counted too.
    await page.waitForFunction(({ time, frames }) => {
      const video = document.getElementById('video');
      return video.currentTime > time + 1.5 && video.getVideoPlaybackQuality().totalVideoFrames > frames + 20;
    }, first, { timeout: 25_000 });
    const second = await look(page);
    return {
      ok: first.picture !== second.picture && second.message === '',
      progress: second.time - first.time, frames: second.frames - first.frames,
      pictures: [first.picture, second.picture], audioBytes: second.audioBytes - first.audioBytes,
      dropped: second.dropped, width: second.width, message: second.message,
    };
  } catch (error) {
    return { ok: false, error: String(error).split('\n')[0], ...await look(page) };
  }
}

/** The data of the plots: how many values, and the last ones. */
const plotted = page => page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.plot')]
  .map(plot => [plot.id, { points: Number(plot.dataset.points), last: plot.dataset.last, until: plot.dataset.until }])));

async function plotsMoved(page) {
  const first = await plotted(page);
  const moved = await page.waitForFunction(before => [...document.querySelectorAll('.plot')]
    .every(plot => Number(plot.dataset.points) > 0 && plot.dataset.until !== before[plot.id]?.until), first, { timeout: 20_000 })
    .then(() => true, () => false);
  return { moved, first, second: await plotted(page) };
}

async function record(page, format = 'flv') {
  const button = page.locator(`.record[data-format=${format}]`);
  const pressed = value => page.waitForFunction(({ format: name, value: wanted }) => document
    .querySelector(`.record[data-format=${name}]`).getAttribute('aria-pressed') === wanted, { format, value }, { timeout: 8000 })
    .then(() => true, () => false);
  await button.click();
  const started = await pressed('true');
  await page.waitForTimeout(1500);
  await button.click();
  return { started, stopped: await pressed('false') };
}

async function kickOne(page) {
  const row = page.locator('#sessions tr', { has: page.locator('.role-SUB') }).first();
  await row.waitFor({ timeout: 10_000 });
  const id = await row.locator('.session-name .strong').textContent();
  await row.getByRole('button', { name: /Kick/ }).click();
  await page.locator('dialog .button.danger').click();
  const vanished = await page.waitForFunction(name => ![...document.querySelectorAll('#sessions .session-name .strong')]
    .some(cell => cell.textContent === name), id, { timeout: 10_000 }).then(() => true, () => false);
  return { id, vanished };
}

async function urls(page) {
  const line = page.locator('#urls .copy-line', { hasText: 'HTTP-FLV' });
  await line.getByRole('button', { name: /Copy/ }).click();
  await line.locator('.button.done').waitFor({ timeout: 3000 }).catch(() => {});
  const copied = await page.evaluate(() => navigator.clipboard.readText()).catch(String);
  await line.getByRole('button', { name: /QR/ }).click();
  const qr = await page.locator('dialog .qr').isVisible();
  await shot(page, 'qr');
  await page.keyboard.press('Escape');
  const shown = await page.locator('#urls .copy-line').evaluateAll(lines => lines.map(each => [each.querySelector('dt').textContent, each.querySelector('code').textContent]));
  return { copied, qr, shown };
}

/** The server seems to go away, and comes back. */
async function outage(page) {
  await page.context().setOffline(true);
  const banner = page.locator('#banner');
  const lost = await banner.waitFor({ state: 'visible', timeout: 10_000 }).then(() => true, () => false);
  await shot(page, 'lost');
  await page.context().setOffline(false);
  const back = await banner.waitFor({ state: 'hidden', timeout: 15_000 }).then(() => true, () => false);
  return { lost, back };
}

async function looks([stream, ...wanted]) {
  const all = {
    light: {}, dark: { colorScheme: 'dark' }, chinese: { locale: 'zh-CN' },
    phone: { viewport: { width: 375, height: 812 }, hasTouch: true, isMobile: true },
  };
  seen.phoneWidths = {};
  for (const name of wanted.length ? wanted : Object.keys(all)) {
    const page = await openPage(all[name]);
    for (const view of [...views, `/streams/${encoded(stream)}?play=1`]) {
      await to(page, view);
      await page.waitForTimeout(view.includes('play=1') ? 3500 : 900);
      const label = view.split(/[/?]/)[1] || 'overview';
      await shot(page, `${label}-${name}`, name === 'phone');
      if (name === 'phone') seen.phoneWidths[label] = await page.evaluate(() => document.documentElement.scrollWidth);
    }
    // The last view plays the stream.
    seen.played = await page.evaluate(() => document.getElementById('video').currentTime > 1);
    await page.context().close();
  }
}

async function walk([since, stream = 'live/walk']) {
  const page = await openPage();
  await page.waitForSelector('#sums:not(:empty)', { timeout: 15_000 });
  writeFileSync(join(folder, 'open'), '');
  const button = page.locator(`#streams button[value=${JSON.stringify(stream)}]`);
  const sight = await page.waitForFunction(name => [...document.querySelectorAll('#streams button')]
    .some(each => each.value === name) && Date.now(), stream, { polling: 'raf', timeout: 60_000 });
  const appeared = await sight.jsonValue();
  const began = /^\d+$/.test(since ?? '') ? Number(since) : since ? Number(readFileSync(since, 'utf8')) : NaN;
  seen.appearedAfter = Number.isFinite(began) ? appeared - began : null;
  seen.overviewPlots = await plotsMoved(page);
  await button.click();
  await page.waitForSelector('.player');
  seen.transports = {};
  for (const transport of transports) seen.transports[transport] = await playOver(page, transport);
  await page.selectOption('#transport', 'flv');
  seen.streamPlots = await plotsMoved(page);
  seen.record = await record(page);
  seen.urls = await urls(page);
  seen.kick = await kickOne(page);
  seen.outage = await outage(page);
}

/** Looks for faults of accessibility in views of these addresses; `then(page, name, judge)` looks at more. */
async function judgeAll(addresses, then) {
  const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  const looks = [['light', {}], ['dark', { colorScheme: 'dark' }], ['phone', { viewport: { width: 375, height: 812 } }],
    ['phone-dark', { viewport: { width: 375, height: 812 }, colorScheme: 'dark' }]];
  Object.assign(seen, { looked: 0, violations: [], widths: {} });
  const judge = async (page, where) => {
    const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    seen.looked += 1;
    for (const { id, impact, nodes, help } of found.violations) {
      if (!['serious', 'critical'].includes(impact)) continue;
      seen.violations.push({ where, id, impact, help, nodes: nodes.slice(0, 4).map(node => `${node.target.join(' ')}: ${node.any[0]?.message ?? ''}`) });
    }
  };
  for (const [name, options] of looks) {
    const page = await openPage({ ...options, reducedMotion: 'reduce' });
    await page.evaluate(source);
    for (const view of addresses) {
      await to(page, view);
      await page.waitForTimeout(500);
      await judge(page, `${view} ${name}`);
      if (name === 'phone') seen.widths[view] = await page.evaluate(() => document.documentElement.scrollWidth);
    }
    await then?.(page, name, judge);
    await page.context().close();
  }
}

async function axe([stream = 'live/demo']) {
  // Dialogs are part of the views too.
  await judgeAll([...views, `/streams/${encoded(stream)}`], async (page, name, judge) => {
    await page.locator('#urls [aria-label^=QR]').first().click();
    await judge(page, `qr ${name}`);
    await page.keyboard.press('Escape');
    await page.locator('#sessions .button').first().click({ timeout: 5000 }).then(async () => {
      await judge(page, `kick ${name}`);
      await page.keyboard.press('Escape');
    }, () => {});
    await to(page, '/relays');
    for (const form of ['#pull', '#push', '#receive']) {
      await page.locator(form).click();
      await judge(page, `${form} ${name}`);
      await page.keyboard.press('Escape');
    }
  });
}

async function token([right]) {
  const page = await openPage();
  const field = page.locator('#token');
  seen.asked = await field.waitFor({ timeout: 10_000 }).then(() => true, () => false);
  await shot(page, 'token');
  await field.fill(`${right}-not`);
  await page.keyboard.press('Enter');
  seen.refused = await page.locator('#token-refused').waitFor({ timeout: 10_000 }).then(() => true, () => false);
  seen.message = await page.locator('#token-refused').textContent();
  await shot(page, 'token-refused');
  await page.locator('#token').fill(right);
  await page.keyboard.press('Enter');
  const works = () => page.waitForSelector('#sums:not(:empty)', { timeout: 10_000 }).then(() => true, () => false);
  seen.works = await works();
  await to(page, '/events');
  seen.events = await page.waitForFunction(() => Number(document.querySelector('#events')?.dataset.count) > 0, null, { timeout: 10_000 })
    .then(() => true, () => false);
  await to(page, '/');
  await page.reload();
  seen.kept = await works() && !await page.locator('dialog').isVisible();
}

async function keyboard([stream = 'live/demo']) {
  const page = await openPage();
  await page.locator(`#streams button[value=${JSON.stringify(stream)}]`).waitFor({ timeout: 15_000 });
  const focus = () => page.evaluate(() => {
    const element = document.activeElement;
    const outline = getComputedStyle(element).outlineStyle;
    return { id: element.id, value: element.value ?? '', text: element.textContent.trim().slice(0, 40), inDialog: Boolean(element.closest('dialog')), visible: outline !== 'none' };
  });
  const tabTo = async (wanted, most = 60) => {
    for (let tabs = 1; tabs <= most; tabs++) {
      await page.keyboard.press('Tab');
      const now = await focus();
      if (!now.visible) seen.invisible = [...seen.invisible ?? [], now];
      if (wanted(now)) return tabs;
    }
    return null;
  };
  seen.skip = await tabTo(now => now.id === 'skip', 1) === 1;
  await page.keyboard.press('Enter');
  seen.skipped = (await focus()).id === 'view';
  seen.tabsToStream = await tabTo(now => now.value === stream);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.player');
  seen.tabsToPlay = await tabTo(now => now.id === 'play');
  await page.keyboard.press('Enter');
  seen.played = await page.waitForFunction(() => document.getElementById('video').currentTime > 1, null, { timeout: 25_000 }).then(() => true, () => false);
  seen.afterPlay = (await focus()).id;
  await page.keyboard.down('Shift');
  seen.tabsToKick = await tabTo(now => now.id === 'kick-viewers');
  await page.keyboard.up('Shift');
  await page.keyboard.press('Enter');
  await page.locator('dialog').waitFor();
  seen.trapped = true;
  for (let i = 0; i < 6; i++) {
    await page.keyboard.press('Tab');
    const now = await focus();
    // Between the last and the first element, focus rests on the browser itself: on the body.
    if (!now.inDialog && now.id !== '' ) seen.trapped = false;
  }
  await page.keyboard.press('Escape');
  await page.locator('dialog').waitFor({ state: 'detached' });
  seen.returned = (await focus()).id === 'kick-viewers';
  await shot(page, 'keyboard');
}

/** Waits until the picture moves for some seconds without a message; returns how it looks then. */
async function moves(page) {
  let still = null;
  for (let calm = 0, end = Date.now() + 40_000; Date.now() < end;) {
    const first = await look(page);
    await page.waitForTimeout(1000);
    still = await look(page);
    const moved = first.picture !== still.picture && still.time > first.time && still.message === '';
    calm = moved ? calm + 1 : 0;
    if (calm === 3) return { ok: true, ...still };
  }
  return { ok: false, ...still };
}

async function plays([name, stream, over]) {
  const page = await openPage({}, `/?stream=${encodeURIComponent(stream)}${over ? `&over=${over}` : ''}`);
  const view = async label => {
    const picture = await moves(page);
    await shot(page, `${name}-${label}`);
    return { ...picture, transport: await page.inputValue('#transport'), note: await page.textContent('#player-note') };
  };
  seen.first = await view('first');
  if (!existsSync(join(folder, 'awaits'))) return;
  writeFileSync(join(folder, 'plays'), '');
  for (let tries = 0; tries < 300 && !existsSync(join(folder, 'goes')); tries++) await page.waitForTimeout(100);
  // What was in the buffers is shown still.
  await page.waitForTimeout(3000);
  seen.second = await view('second');
}

async function leaves([stream]) {
  const page = await openPage({}, `/?stream=${encodeURIComponent(stream)}&over=flv`);
  let requests = 0;
  page.on('request', request => { requests += new URL(request.url()).pathname.endsWith('.flv') ? 1 : 0; });
  seen.plays = (await moves(page)).ok;
  writeFileSync(join(folder, 'plays'), '');
  const says = text => page.waitForFunction(wanted => document.getElementById('message').textContent.includes(wanted),
    text, { timeout: 30_000 }).then(() => true, () => false);
  const viewers = () => page.textContent('[data-fact=viewers]');
  seen.left = await says('has left and may return');
  await shot(page, 'away');
  // It is not tried again: nothing is wrong.
  seen.ended = await says('has ended');
  seen.requests = requests;
  await page.click('#stop');
  await page.locator('#gone').waitFor({ timeout: 30_000 });
  seen.viewers = await viewers();
  seen.plotted = (await plotted(page))['plot-viewers'].points;
  await shot(page, 'gone');
}

/** Every key is in every language, with the same places for values, and is used. */
async function words() {
  const app = join(here, '../../crates/control/assets/app');
  const read = async tag => (await import(join(app, 'lang', `${tag}.js`))).default;
  const [en, zh] = [await read('en'), await read('zh')];
  const places = text => [...text.matchAll(/\{(\w+)/g)].map(([, name]) => name).sort().join();
  const source = readdirSync(app, { recursive: true }).filter(name => name.endsWith('.js') && !name.includes('lang/'))
    .map(name => readFileSync(join(app, name), 'utf8')).join('\n');
  const literal = [...source.matchAll(/\b(?:t|word)\((?:\w+ \? )?'([^']+)'(?: : '([^']+)')?/g)].flatMap(([, a, b]) => [a, b]).filter(Boolean);
  const prefixes = [...source.matchAll(/\b(?:t|word)\(`([^$`]+)\$/g)].map(match => match[1]);
  Object.assign(seen, {
    keys: Object.keys(en).length,
    onlyEnglish: Object.keys(en).filter(key => !(key in zh)),
    onlyChinese: Object.keys(zh).filter(key => !(key in en)),
    places: Object.keys(en).filter(key => key in zh && places(en[key]) !== places(zh[key])),
    missing: literal.filter(key => !(key in en)),
    unused: Object.keys(en).filter(key => !source.includes(`'${key}'`) && !prefixes.some(prefix => key.startsWith(prefix))),
  });
}

const tools = { openPage, shot, to, judgeAll, seen };
const actions = {
  walk, looks, axe, token, keyboard, plays, leaves, words,
  devices: wanted => devices(tools, wanted),
  relays: wanted => relays(tools, wanted),
  recordings: wanted => recordings(tools, wanted),
};
if (!(action in actions)) {
  console.error(`usage: page.mjs URL ${Object.keys(actions).join('|')} FOLDER [...]`);
  process.exit(2);
}
try {
  if (action !== 'words') {
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update',
        '--disable-sync', '--no-first-run', '--autoplay-policy=no-user-gesture-required'],
    });
  }
  await actions[action](rest);
} catch (error) {
  seen.failed = String(error.stack ?? error);
} finally {
  await browser?.close();
}
console.log(JSON.stringify(seen));
process.exitCode = seen.failed ? 1 : 0;
