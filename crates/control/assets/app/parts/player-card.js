// The preview of a stream: picture, controls, figures, and messages in plain words.
import { h, setAttribute, setText } from '../dom.js';
import { number } from '../format.js';
import { icon } from '../icons.js';
import { t, word } from '../i18n.js';
import { isOffered, playUrl } from '../links.js';
import { Choice } from '../player/choice.js';
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

// Milliseconds: a player begins anew no sooner than this after it began, however the tracks change.
const APART = 5000;

/** The message for a state; empty while there is a picture. */
function message(state, detail, name) {
  if (['idle', 'playing'].includes(state)) return '';
  return word(`player.${state}`, '') && t(`player.${state}`, { name, codec: detail, detail: detail ?? '', n: detail });
}

/**
 * The player of the stream `name`. `over` is the transport that a link asked for, `absent` the
 * message while the stream is not there.
 */
export function playerCard({ name, over, absent = 'missing', changed = () => {} }) {
  const choice = new Choice(transportOf(over ?? load('transport')), Boolean(over));
  let source = null;
  let wanted = false;
  let retry = 0;
  let again = false;
  let [began, anew] = [0, 0];

  const start = h('button', { type: 'button', id: 'play', class: 'big-play', 'aria-label': t('play.stream', { name }) }, icon('play'));
  const stopButton = h('button', { type: 'button', id: 'stop', class: 'button small' }, icon('stop'), h('span', {}, t('stop')));
  const sound = h('button', { type: 'button', id: 'sound', class: 'button small' });
  const full = h('button', { type: 'button', class: 'button small', 'aria-label': t('fullscreen') }, icon('full'));
  const select = h('select', { id: 'transport', value: choice.wish }, Object.entries(transports)
    .map(([key, text]) => h('option', { value: key }, text)));
  const figures = h('dl', { class: 'player-figures', id: 'figures' },
    ['buffer', 'decoded', 'dropped', 'size', 'first'].map(key => h('div', {},
      h('dt', {}, t(`player.figure.${key}`)), h('dd', { 'data-figure': key }, '–'))));
  const note = h('p', { class: 'player-note soft', id: 'player-note', role: 'status' });
  const figure = key => figures.querySelector(`[data-figure=${key}]`);
  const element = h('section', { class: 'card player', 'aria-label': t('preview') },
    h('div', { class: 'stage' }, screen, start),
    h('div', { class: 'player-bar' },
      h('label', { class: 'choice' }, h('span', {}, t('play.over')), select), stopButton, sound, full),
    note, figures);

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

  /** What is known here, and not to the player: whether there is anything to wait for. */
  function known(state) {
    if (state === 'stalled' && source?.state === 'away') return 'away';
    return state === 'waiting' && source?.state !== 'live' ? absent : state;
  }

  function onState(state, detail) {
    if (wanted && choice.mend(state, detail, player.fed)) {
      clearTimeout(retry);
      // The old player shall be done with what it does before it goes.
      retry = setTimeout(() => begin(true), 0);
      return;
    }
    // While it is tried again and again, the reason stays to be read.
    const quiet = state === 'waiting' && again;
    if (state === 'codec') say(message('codec', choice.obstacles(), name));
    else if (state === 'frozen') say(message('frozen', choice.rest / 1000, name));
    else if (!quiet) say(message(known(state), detail, name));
    drawButtons();
    if (state === 'codec') drawChoice();
    clearTimeout(retry);
    // A stream that ended may come back; a codec does not become known.
    if (wanted && ['ended', 'missing', 'broken', 'frozen'].includes(state)) {
      const rest = ['broken', 'frozen'].includes(state) ? choice.rest : 0;
      retry = setTimeout(() => begin(true), Math.max(rest, state === 'missing' ? 1500 : 2500));
    }
    if (wanted && state === 'waiting' && !quiet) {
      retry = setTimeout(() => player.state === 'waiting' && say(message(source?.state === 'live' ? 'slow' : absent, '', name)), 8000);
    }
  }

  function begin(retried = false) {
    clearTimeout(retry);
    clearTimeout(anew);
    again = retried;
    if (!wanted) return;
    if (!source) {
      say(message('waiting', '', name));
      return;
    }
    began = performance.now();
    drawChoice();
    const { transport } = choice;
    const url = transport && playUrl(name, transport, source);
    if (url) thePlayer().play(url, transport, choice.mute);
    else if (source.base && choice.offered.length) thePlayer().refuse();
    else say(t('player.nowhere'));
  }

  function drawChoice() {
    select.value = choice.transport ?? choice.wish;
    setText(note, wanted ? choice.note() : '');
  }

  element.play = () => {
    wanted = true;
    choice.forget();
    drawButtons();
    begin();
    changed(choice.firm ? choice.wish : null, true);
  };
  element.halt = () => {
    wanted = false;
    clearTimeout(retry);
    clearTimeout(anew);
    player?.stop();
    setText(note, '');
    say('');
    drawButtons();
  };

  /** Takes what is known of the stream, and where its media are. */
  element.update = ({ base, paths, query, tracks, state }) => {
    const first = source === null;
    const cameBack = !first && source.state !== 'live' && state === 'live';
    const left = !first && source.state === 'live' && state === 'away';
    source = { base, paths, query, tracks, state };
    for (const option of select.options) option.hidden = option.disabled = !isOffered(name, option.value, paths);
    const was = [choice.transport, choice.mute].join();
    const others = choice.learn([...select.options].filter(option => !option.disabled).map(({ value }) => value), tracks);
    if (!wanted) {
      drawChoice();
      return;
    }
    if (first || (cameBack && ['ended', 'missing', 'broken'].includes(player?.state))) begin();
    // Players that wait for their first picture take the tracks as they come.
    else if (player?.source && (was !== [choice.transport, choice.mute].join() || (others && player.state !== 'waiting'))) {
      clearTimeout(anew);
      anew = setTimeout(() => begin(true), Math.max(0, began + APART - performance.now()));
    } else if (others && ['codec', 'frozen'].includes(player?.state)) begin();
    if (left && player?.state === 'stalled') say(message('away', '', name));
  };

  start.addEventListener('click', () => {
    if (wanted) player.resume();
    else element.play();
    stopButton.focus();
  });
  stopButton.addEventListener('click', () => {
    element.halt();
    changed(choice.firm ? choice.wish : null, false);
    start.focus();
  });
  sound.addEventListener('click', () => {
    video.muted = !video.muted;
    drawSound();
  });
  full.addEventListener('click', () => (document.fullscreenElement
    ? document.exitFullscreen() : (screen.requestFullscreen?.() ?? video.webkitEnterFullscreen?.())));
  select.addEventListener('change', () => {
    choice.want(select.value);
    save('transport', choice.wish);
    changed(choice.wish, wanted);
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
