// Plays through what the page does when a stream fails again and again, without a browser: a player
// that begins, and freezes five seconds later. Prints when it began, and how, as JSON.
let now = 0;
globalThis.performance.now = () => now;
globalThis.window = { MediaSource: { isTypeSupported: type => !type.includes('hvc1') } };
globalThis.navigator ??= { languages: ['en'] };

const assets = '../../crates/control/assets/app';
const { Choice } = await import(`${assets}/player/choice.js`);
const { transports } = await import(`${assets}/player/player.js`);

const track = (id, kind, codec) => ({ id, kind, codec });
const tracks = [track('video0', 'video', 'AV1'), track('audio0', 'audio', 'OPUS')];
const choice = new Choice('flv', false);
choice.learn(Object.keys(transports), tracks);

const begun = [];
const begin = () => begun.push([now / 1000, choice.transport + (choice.mute ? ' without sound' : '')]);
/** It plays for a while, and fails; it begins anew at once, or after a rest. */
const fail = (state, after) => {
  begin();
  choice.mend('playing');
  now += after;
  if (!choice.mend(state, '', true)) now += choice.rest;
};
while (now < 600_000) fail('frozen', 5000);
const rests = begun.length;
// What has gone well for a while begins anew at once, as before.
fail('frozen', 120_000);
begin();
// Other tracks are another matter.
const learnt = choice.learn(Object.keys(transports), [track('video0', 'video', 'H264')]);
begin();
console.log(JSON.stringify({ begun: begun.slice(0, rests), well: begun.slice(rests), rest: choice.rest, learnt }));
