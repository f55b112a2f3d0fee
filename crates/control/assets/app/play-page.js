// The public player at /play/APP/NAME. It knows its stream by its address and needs no API.
import { copyText } from './copy.js';
import { h, setText } from './dom.js';
import { icon } from './icons.js';
import { language, t, word } from './i18n.js';
import { isOffered, playUrl } from './links.js';
import { Choice } from './player/choice.js';
import { Player, transportOf, transports } from './player/player.js';
import { load, save } from './store.js';

const $ = id => document.getElementById(id);
const [video, stage] = [$('video'), $('stage')];
const query = new URLSearchParams(location.search);
const paths = JSON.parse(document.querySelector('meta[name=paths]').content);

/** The name in the address; parts that are no valid encoding are taken as they are. */
function streamName() {
  return location.pathname.replace(/^\/play\/+/, '').replace(/\/+$/, '').split('/').map(part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  }).join('/');
}

const name = streamName();
const offered = Object.keys(transports).filter(key => isOffered(name, key, paths));
const choice = new Choice(transportOf(query.get('over') ?? load('transport')), query.has('over'));
choice.learn(offered, null);
let retry = 0;
let again = false;

/** What is behind `?`, without what means this page: it may hold a ticket for the media. */
function mediaQuery() {
  const passed = new URLSearchParams(query);
  passed.delete('over');
  return passed.toString();
}

const player = new Player(video, (state, detail) => {
  if (choice.mend(state, detail, player.fed)) {
    clearTimeout(retry);
    // The old player shall be done with what it does before it goes.
    retry = setTimeout(() => begin(true), 0);
    return;
  }
  const text = state === 'playing' ? '' : word(`player.${state}`, '')
    && t(`player.${state}`, { name, codec: choice.obstacles(), detail: detail ?? '', n: choice.rest / 1000 });
  // While it is tried again and again, the reason stays to be read.
  const quiet = state === 'waiting' && again;
  if (!quiet) setText($('message'), text);
  stage.classList.toggle('busy', state === 'waiting' || state === 'stalled');
  start.hidden = state !== 'blocked';
  clearTimeout(retry);
  // Who waits for a stream shall see it when it comes.
  if (['ended', 'missing', 'broken', 'frozen'].includes(state)) {
    retry = setTimeout(() => begin(true), ['broken', 'frozen'].includes(state) ? Math.max(3000, choice.rest) : 3000);
  }
  // Nor is it known here when the publisher returns with another codec.
  if (state === 'codec') {
    setText(note, '');
    retry = setTimeout(() => {
      choice.forget();
      begin(true);
    }, 15_000);
  }
  if (state === 'waiting' && !quiet) retry = setTimeout(() => setText($('message'), t('player.missing', { name })), 8000);
});

function begin(retried = false) {
  clearTimeout(retry);
  again = retried;
  const { transport, mute } = choice;
  select.value = transport ?? choice.wish;
  setText(note, choice.note());
  const url = transport && playUrl(name, transport, { base: location.origin, paths, query: mediaQuery() });
  if (url) player.play(url, transport, mute);
  else setText($('message'), t('player.nowhere'));
}

function drawSound() {
  sound.replaceChildren(icon(video.muted ? 'muted' : 'sound'), h('span', {}, t(video.muted ? 'sound.on' : 'sound.off')));
}

const start = h('button', {
  type: 'button', class: 'big-play', hidden: true, 'aria-label': t('play.stream', { name }), on: { click: () => player.resume() },
}, icon('play'));
const sound = h('button', {
  type: 'button', class: 'button', id: 'sound',
  on: {
    click: () => {
      video.muted = !video.muted;
      drawSound();
    },
  },
});
const select = h('select', {
  id: 'transport', 'aria-label': t('play.over'), value: choice.wish,
  on: {
    change: () => {
      choice.want(select.value);
      save('transport', choice.wish);
      begin();
    },
  },
}, offered.map(key => h('option', { value: key }, transports[key])));
const note = h('p', { class: 'note', role: 'status' });
const share = h('button', { type: 'button', class: 'button', id: 'share' }, icon('share'), h('span', {}, t('player.share')));
share.addEventListener('click', async () => {
  const copied = await copyText(location.href, share);
  setText(share.lastElementChild, t(copied ? 'copied' : 'copy.failed'));
  setTimeout(() => setText(share.lastElementChild, t('player.share')), 1600);
});
const full = h('button', {
  type: 'button', class: 'button', 'aria-label': t('fullscreen'),
  on: { click: () => (document.fullscreenElement ? document.exitFullscreen() : (stage.requestFullscreen?.() ?? video.webkitEnterFullscreen?.())) },
}, icon('full'));

document.documentElement.lang = language() === 'zh' ? 'zh-CN' : language();
document.title = name ? `${name} · ${t('player.page')}` : t('player.page');
stage.append(start);
$('controls').append(h('h1', {}, name || t('player.page')), select, sound, share, full, note);
drawSound();
if (name) begin();
else setText($('message'), t('player.noname'));
