// A pad that turns a camera for as long as a button or a key is held.
import { api } from '../api.js';
import { h, setText } from '../dom.js';
import { attempt } from '../dialogs.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';
import { load, save } from '../store.js';
import { button, card } from './controls.js';
import { figure } from './order-form.js';
import { Mover } from './mover.js';

// In the order of the pad's rows: to the right, up, nearer.
const buttons = [
  ['left-up', -1, 1, 0], ['up', 0, 1, 0], ['right-up', 1, 1, 0], ['near', 0, 0, 1],
  ['left', -1, 0, 0], ['stop'], ['right', 1, 0, 0], null,
  ['left-down', -1, -1, 0], ['down', 0, -1, 0], ['right-down', 1, -1, 0], ['far', 0, 0, -1],
];
const keys = {
  ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0],
  '+': [0, 0, 1], '=': [0, 0, 1], '-': [0, 0, -1],
};
// How long a click moves that comes from an aid and knows no holding.
const NUDGE = 400;

/** Hears when a button is held, by a pointer or by a key, and when no longer. */
function heldBy(element, down, up) {
  element.addEventListener('pointerdown', event => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    down();
  });
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture', 'blur']) element.addEventListener(name, up);
  const isPress = event => event.key === ' ' || event.key === 'Enter';
  element.addEventListener('keydown', event => {
    if (!isPress(event)) return;
    event.preventDefault();
    if (!event.repeat) down();
  });
  element.addEventListener('keyup', event => {
    if (!isPress(event)) return;
    event.preventDefault();
    up();
  });
  element.addEventListener('click', event => {
    if (event.detail !== 0) return;
    down();
    setTimeout(up, NUDGE);
  });
  // A long touch means to go on, not to choose text.
  element.addEventListener('contextmenu', event => event.preventDefault());
}

/** The buttons and keys that move; `speed()` says how fast. */
function pad(mover, speed, signal) {
  // What is held, each with its way: two arrows are a diagonal.
  const held = new Map();
  const tell = () => {
    const [pan, tilt, zoom] = [0, 1, 2].map(axis => Math.sign([...held.values()].reduce((sum, way) => sum + way[axis], 0)));
    if (pan || tilt || zoom) mover.move({ pan, tilt, zoom, speed: speed() });
    else mover.stop();
  };
  const release = () => {
    if (!held.size) return;
    held.clear();
    element.querySelectorAll('.held').forEach(each => each.classList.remove('held'));
    tell();
  };
  const element = h('div', {
    class: 'ptz-pad', id: 'ptz', role: 'group', tabindex: '0', 'aria-label': t('ptz'), 'aria-describedby': 'ptz-help',
  }, buttons.map(entry => {
    if (!entry) return h('span', {});
    const [name, ...way] = entry;
    const each = h('button', { type: 'button', class: 'button', 'data-way': name, 'aria-label': t(`ptz.${name}`), title: t(`ptz.${name}`) }, icon(name));
    if (!way.length) each.addEventListener('click', () => mover.stop(true));
    else {
      heldBy(each, () => {
        held.set(name, way);
        each.classList.add('held');
        tell();
      }, () => {
        each.classList.remove('held');
        if (held.delete(name)) tell();
      });
    }
    return each;
  }));
  element.addEventListener('keydown', event => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.repeat) return;
    // The place of the key: what it writes may differ by the time it is released.
    held.set(event.code, keys[event.key]);
    tell();
  });
  element.addEventListener('keyup', event => {
    if (held.delete(event.code)) tell();
  });
  element.addEventListener('focusout', event => element.contains(event.relatedTarget) || release());
  addEventListener('blur', release, { signal });
  document.addEventListener('visibilitychange', release, { signal });
  addEventListener('pagehide', () => mover.leave(), { signal });
  signal.addEventListener('abort', release);
  element.again = () => held.size && tell();
  return element;
}

/** A card that steers one channel of a device. */
export function ptzCard(device, channel, signal) {
  const send = order => api.post('/devices/control', { device, channel, ...order });
  const fault = h('p', { class: 'notice bad', id: 'ptz-fault', role: 'alert', hidden: true });
  const mover = new Mover(send, text => {
    fault.hidden = !text;
    setText(fault, text);
  });
  const shown = h('output', { for: 'ptz-speed' });
  const speed = h('input', { id: 'ptz-speed', type: 'range', min: 1, max: 255, value: load('ptz-speed') ?? 128 });
  const drawSpeed = () => setText(shown, speed.value);
  const moving = pad(mover, () => Number(speed.value), signal);
  speed.addEventListener('input', () => {
    drawSpeed();
    save('ptz-speed', speed.value);
    moving.again();
  });
  drawSpeed();
  const preset = figure('ptz-preset', { min: 1, max: 255, value: 1, required: true });
  const presets = h('form', {
    class: 'inline-form',
    on: {
      submit: event => {
        event.preventDefault();
        const action = event.submitter?.value ?? 'call_preset';
        attempt(() => send({ action, preset: Number(preset.value) }), t(`ptz.${action}.done`, { n: preset.value }));
      },
    },
  }, h('label', {}, h('span', {}, t('ptz.preset')), preset),
  ['call_preset', 'set_preset'].map(action => h('button', { class: 'button', value: action }, t(`ptz.${action}`))));
  return card(t('ptz'),
    h('div', { class: 'ptz' },
      h('div', { class: 'ptz-top' }, moving, h('p', { class: 'soft', id: 'ptz-help' }, t('ptz.help'))),
      h('label', { class: 'ptz-speed' }, h('span', {}, t('ptz.speed')), speed, shown),
      fault, presets,
      h('div', { class: 'actions' }, button('picture', t('ptz.key_frame'),
        () => attempt(() => send({ action: 'key_frame' }), t('ptz.key_frame.done')), { id: 'key-frame', kind: 'small' }))));
}
