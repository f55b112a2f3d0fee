// The preview of a stream: picture, controls, figures, and messages in plain words.
import { h, setAttribute, setText } from '../dom.js';
import { number } from '../format.js';
import { icon } from '../icons.js';
import { t, word } from '../i18n.js';
import { isOffered, playUrl } from '../links.js';
import { Player, transportOf, transports } from '../player/player.js';
import { load, save } from '../store.js';

// They move between views, and are in no document in between.
const [video, screen, messageLine, parking] = ['video', 'screen', 'message', 'parking']
  .map(id => document.getElementById(id));

let player = null;
let heard = () => {};

/** The one player of the page. */
function thePlayer() {
  player ??= new Player(video, (state, detail) => heard(state, detail));
  return player;
}

/** The message for a state; empty while there is a picture. */
function message(state, detail, name) {
  if (state === 'idle' || state === 'playing') return '';
  // Libraries give whole sentences here; only names of codecs help.
  const codec = detail && detail.length < 24 ? `(${detail})` : '';
  return word(`player.${state}`, '') && t(`player.${state}`, { name, codec, detail: detail ?? '' });
}

/**
 * The player of the stream `name`. `over` is the transport that a link asked for, `absent` the
 * message while the stream is not there.
 */
export function playerCard({ name, over, absent = 'missing', changed = () => {} }) {
  let transport = transportOf(over ?? load('transport'));
  let source = null;
  let wanted = false;
  let retry = 0;
  let again = false;

  const start = h('button', { type: 'button', id: 'play', class: 'big-play', 'aria-label': t('play.stream', { name }) }, icon('play'));
  const stopButton = h('button', { type: 'button', id: 'stop', class: 'button small' }, icon('stop'), h('span', {}, t('stop')));
  const sound = h('button', { type: 'button', id: 'sound', class: 'button small' });
  const full = h('button', { type: 'button', class: 'button small', 'aria-label': t('fullscreen') }, icon('full'));
  const select = h('select', { id: 'transport', value: transport }, Object.entries(transports)
    .map(([key, text]) => h('option', { value: key }, text)));
  const figures = h('dl', { class: 'player-figures', id: 'figures' },
    ['buffer', 'decoded', 'dropped', 'size', 'first'].map(key => h('div', {},
      h('dt', {}, t(`player.figure.${key}`)), h('dd', { 'data-figure': key }, '–'))));
  const figure = key => figures.querySelector(`[data-figure=${key}]`);
  const element = h('section', { class: 'card player', 'aria-label': t('preview') },
    h('div', { class: 'stage' }, screen, start),
    h('div', { class: 'player-bar' },
      h('label', { class: 'choice' }, h('span', {}, t('play.over')), select), stopButton, sound, full),
    figures);

  function drawSound() {
    sound.replaceChildren(icon(video.muted ? 'muted' : 'sound'), h('span', {}, video.muted ? t('sound.on') : t('sound.off')));
  }

  function say(text) {
    setText(messageLine, text);
  }

  function drawButtons() {
    start.hidden = wanted && player?.state !== 'blocked';
    stopButton.hidden = !wanted;
    screen.classList.toggle('busy', ['waiting', 'stalled'].includes(player?.state) && wanted);
    setAttribute(element, 'data-state', wanted ? player?.state : 'idle');
  }

  /** The first codec of the stream that the browser does not know, for the message. */
  function suspect() {
    const known = { H264: 'avc1.42e01e', H265: 'hvc1.1.6.L93.B0', AV1: 'av01.0.04M.08', VP9: 'vp09.00.10.08', AAC: 'mp4a.40.2', OPUS: 'opus', FLAC: 'flac' };
    const Source = window.ManagedMediaSource ?? window.MediaSource;
    return (source?.tracks ?? []).filter(track => track.kind !== 'data').map(track => track.codec)
      .find(codec => {
        const mime = known[String(codec).toUpperCase().replace(/[^A-Z0-9]/g, '')];
        return !mime || !Source?.isTypeSupported(`video/mp4; codecs="${mime}"`);
      });
  }

  function onState(state, detail) {
    // While it is tried again and again, the reason stays to be read.
    const quiet = state === 'waiting' && again;
    const doubtful = ['codec', 'broken'].includes(state) ? suspect() : null;
    if (doubtful) say(message('codec', doubtful, name));
    // It is known here whether there is anything to wait for.
    else if (!quiet) say(message(state === 'waiting' && source?.state !== 'live' ? absent : state, detail, name));
    drawButtons();
    clearTimeout(retry);
    // A stream that ended may come back; a codec does not become known.
    if (wanted && !doubtful && ['ended', 'missing', 'broken'].includes(state)) {
      retry = setTimeout(() => begin(true), state === 'missing' ? 1500 : 2500);
    }
    if (wanted && state === 'waiting' && !quiet) {
      retry = setTimeout(() => player.state === 'waiting' && say(message(source?.state === 'live' ? 'slow' : absent, '', name)), 8000);
    }
  }

  function begin(retried = false) {
    clearTimeout(retry);
    again = retried;
    if (!wanted) return;
    if (!source) {
      say(message('waiting', '', name));
      return;
    }
    const url = playUrl(name, transport, source);
    if (!url) say(t('player.nowhere'));
    else thePlayer().play(url, transport);
  }

  element.play = () => {
    wanted = true;
    drawButtons();
    begin();
    changed(transport, true);
  };
  element.halt = () => {
    wanted = false;
    clearTimeout(retry);
    player?.stop();
    say('');
    drawButtons();
  };

  /** Takes what is known of the stream, and where its media are. */
  element.update = ({ base, paths, query, tracks, state }) => {
    const first = source === null;
    const cameBack = !first && source.state !== 'live' && state === 'live';
    source = { base, paths, query, tracks, state };
    for (const option of select.options) option.hidden = option.disabled = !isOffered(name, option.value, paths);
    if (select.selectedOptions[0]?.disabled) {
      const offered = [...select.options].find(option => !option.disabled);
      if (offered) transport = select.value = offered.value;
    }
    if (wanted && (first || (cameBack && ['ended', 'missing', 'broken'].includes(player?.state)))) begin();
  };

  start.addEventListener('click', () => {
    if (wanted) player.resume();
    else element.play();
    stopButton.focus();
  });
  stopButton.addEventListener('click', () => {
    element.halt();
    changed(transport, false);
    start.focus();
  });
  sound.addEventListener('click', () => {
    video.muted = !video.muted;
    drawSound();
  });
  full.addEventListener('click', () => (document.fullscreenElement
    ? document.exitFullscreen() : (screen.requestFullscreen?.() ?? video.webkitEnterFullscreen?.())));
  select.addEventListener('change', () => {
    transport = select.value;
    save('transport', transport);
    changed(transport, wanted);
    begin();
  });

  const timer = setInterval(() => {
    if (!player || !wanted) return;
    const now = player.figures();
    setText(figure('buffer'), t('unit.seconds', { n: number(now.buffered, 1) }));
    setText(figure('decoded'), number(now.decoded));
    setText(figure('dropped'), number(now.dropped));
    setText(figure('size'), now.width ? `${now.width}×${now.height}` : '–');
    setText(figure('first'), now.first === null ? '–' : `${number(now.first)} ms`);
  }, 500);

  /** Gives the player back: the next view may want it. */
  element.close = () => {
    element.halt();
    clearInterval(timer);
    heard = () => {};
    parking.append(screen);
  };
  heard = onState;
  say('');
  drawSound();
  drawButtons();
  return element;
}
