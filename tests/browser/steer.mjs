// What an operator does to devices and relays, for page.mjs: it gives its tools.

/** Waits in this process until something is so. */
async function until(what, so) {
  for (const end = Date.now() + 15_000; Date.now() < end;) {
    if (so()) return;
    await new Promise(resolve => { setTimeout(resolve, 20); });
  }
  throw new Error(`never: ${what}`);
}

/** The orders that the page gives to devices, as they are sent. */
function ordersOf(page) {
  const orders = [];
  page.on('request', request => {
    if (request.url().endsWith('/devices/control')) orders.push(JSON.parse(request.postData()));
  });
  return orders;
}

/** Whether a picture comes and goes on. */
const plays = page => page.waitForFunction(() => document.querySelector('.player')?.dataset.state === 'playing'
  && document.getElementById('video').currentTime > 1, null, { timeout: 25_000 }).then(() => true, () => false);

/** Opens a channel from the list, turns its camera by pointer and keys, and looks at its picture. */
export async function devices({ openPage, shot, to, judgeAll, seen }, [device, channel]) {
  const page = await openPage();
  const orders = ordersOf(page);
  const last = () => orders.at(-1) ?? {};
  const stops = (text, count) => until(text, () => orders.filter(({ action }) => action === 'stop').length === count);
  await to(page, '/devices');
  const listed = page.locator(`#devices a[href$="${device}"]`);
  await listed.waitFor({ timeout: 15_000 });
  await page.locator('#search').fill('no such camera');
  await listed.waitFor({ state: 'detached', timeout: 10_000 });
  seen.unfound = await page.locator('#devices').isHidden();
  await shot(page, 'devices-unfound');
  await page.locator('#search').fill(channel.slice(-10));
  seen.found = await listed.waitFor({ timeout: 10_000 }).then(() => true, () => false);
  await shot(page, 'devices');
  await listed.click();
  const row = page.locator('#channels tr', { has: page.locator(`a[href$="${channel}"]`) }).first();
  await row.waitFor({ timeout: 15_000 });
  seen.watch = await row.getByRole('link', { name: /^Watch/ }).getAttribute('href');
  await page.locator('#refresh-channels').click();
  seen.refreshed = await page.locator('.toast:not(.bad)').waitFor({ timeout: 10_000 }).then(() => true, () => false);
  await shot(page, 'device');
  // Nobody watches yet: the view of the stream has the device called.
  await row.getByRole('link', { name: /^Watch/ }).click();
  seen.watched = await plays(page);
  await to(page, `/devices/${device}`);
  await row.getByRole('link', { name: /^Control/ }).click();

  const button = page.locator('[data-way=left-up]');
  await button.hover();
  await page.mouse.down();
  await until('it moves', () => last().action === 'move');
  await page.mouse.up();
  await stops('it stops as the button is released', 1);

  // A stop that comes to nothing is told again, and until then it says why.
  await page.mouse.down();
  await until('it moves once more', () => last().action === 'move');
  await page.route('**/devices/control', route => route.fulfill({ status: 503, json: { error: 'not now' } }), { times: 1 });
  await page.mouse.up();
  await page.locator('#ptz-fault', { hasText: 'not now' }).waitFor({ timeout: 10_000 });
  await stops('it is told to stop again', 3);
  await page.locator('#ptz-fault').waitFor({ state: 'hidden', timeout: 10_000 });

  await page.locator('#ptz').focus();
  await page.keyboard.down('ArrowRight');
  await until('an arrow turns', () => last().pan === 1);
  await page.keyboard.down('ArrowDown');
  await until('two arrows are a diagonal', () => last().pan === 1 && last().tilt === -1);
  await page.keyboard.up('ArrowRight');
  await until('one is left', () => last().pan === 0 && last().tilt === -1);
  await page.keyboard.up('ArrowDown');
  await stops('it stops as the keys are released', 4);
  await page.keyboard.down('+');
  await until('it zooms', () => last().zoom === 1);
  await page.keyboard.up('+');
  await stops('it zooms no more', 5);

  await page.locator('#ptz-preset').fill('7');
  await page.keyboard.press('Enter');
  await until('a preset is called', () => last().action === 'call_preset' && last().preset === 7);
  await page.locator('#key-frame').click();
  await until('a key frame is asked for', () => last().action === 'key_frame');

  await page.locator('#play').click();
  seen.played = await plays(page);
  await shot(page, 'channel');
  // Whoever goes away while a button is held leaves no camera turning.
  await button.hover();
  await page.mouse.down();
  await until('it moves again', () => last().action === 'move');
  await to(page, '/devices');
  await stops('it stops as the view is left', 6);
  seen.orders = orders;
  await page.context().close();
  await judgeAll([`/devices/${device}`, `/devices/${device}/${channel}`]);
}

/** Plays a file of each format, and shows TOKEN if there is one. */
export async function recordings({ openPage, shot, to, seen }, [search, token]) {
  const page = await openPage();
  if (token) {
    await page.locator('#token').fill(token);
    await page.keyboard.press('Enter');
  }
  await to(page, `/recordings?search=${encodeURIComponent(search)}`);
  const rows = page.locator('#recordings tr');
  await rows.first().waitFor({ timeout: 15_000 });
  seen.names = await page.locator('#recordings [data-label=File]').allTextContents();
  await shot(page, 'recordings');
  seen.played = {};
  for (const format of ['FLV', 'TS', 'MP4', 'HLS']) {
    const row = rows.filter({ has: page.getByText(format, { exact: true }) }).first();
    await row.getByRole('button', { name: /^Play/ }).click();
    const moves = () => document.querySelector('dialog video')?.currentTime > 0.5;
    seen.played[format] = await page.waitForFunction(moves, null, { timeout: 20_000 }).then(() => true, () => false);
    await shot(page, `recording-${format.toLowerCase()}`);
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached', timeout: 10_000 });
  }
  await page.context().close();
}

/** Has a stream pulled from FROM as STREAM, and stops it; opens a port for a device, and closes it. */
export async function relays({ openPage, shot, to, seen }, [from, stream]) {
  const page = await openPage();
  const row = (list, name) => page.locator(`#${list} tr`, { has: page.getByRole('link', { name, exact: true }) });
  const stop = async line => {
    await line.getByRole('button', { name: /^Stop/ }).click();
    await page.locator('dialog .button.danger').click();
    return line.waitFor({ state: 'detached', timeout: 10_000 }).then(() => true, () => false);
  };
  await to(page, '/relays');
  await page.locator('#pull').click();
  await page.locator('#pull-stream').fill(stream);
  await page.locator('#pull-from').fill('ftp://127.0.0.1/a');
  await page.locator('dialog .button.primary').click();
  const fault = page.locator('dialog .notice.bad');
  await fault.waitFor({ timeout: 10_000 });
  seen.fault = await fault.textContent();
  await page.locator('#pull-from').fill(from);
  await page.locator('dialog .button.primary').click();
  await page.locator('dialog').waitFor({ state: 'detached', timeout: 10_000 });
  const pull = row('pulls', stream);
  seen.running = await pull.locator('.badge.live').waitFor({ timeout: 15_000 }).then(() => true, () => false);
  seen.address = await pull.locator('.addresses').textContent();
  await shot(page, 'relays');
  seen.pullStopped = await stop(pull);

  await page.locator('#receive').click();
  await page.locator('#receiver-stream').fill('gb/told');
  await page.keyboard.press('Enter');
  const receiver = row('receivers', 'gb/told');
  await receiver.waitFor({ timeout: 10_000 });
  seen.port = Number(await receiver.locator('[data-label=Port]').textContent());
  seen.receiverStopped = await stop(receiver);
}
