// A list of lines that come by themselves: the newest are at the top, the oldest fall off.
import { h, setAttribute, setText } from '../dom.js';
import { number } from '../format.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';

const MOST = 500;

/**
 * A list of what is pushed. `row(item)` makes a line, `matches(item)` tells whether it is shown.
 * While it is paused, lines wait and are counted.
 */
export function tail({ label, row, matches, empty }) {
  let items = [];
  let waiting = [];
  let paused = false;
  let due = false;
  const list = h('ol', { class: 'tail', 'aria-label': label, tabindex: '0' });
  const none = h('p', { class: 'no-rows' }, empty);
  const button = h('button', { type: 'button', id: 'pause', class: 'button', on: { click: () => pause(!paused) } });
  const clear = h('button', { type: 'button', class: 'button', on: { click: () => element.reset() } }, icon('close'), h('span', {}, t('tail.clear')));

  function drawButton() {
    const text = !paused ? t('tail.pause') : waiting.length ? t('tail.resume.count', { n: number(waiting.length) }) : t('tail.resume');
    if (button.dataset.paused !== String(paused)) button.replaceChildren(icon(paused ? 'play' : 'pause'), h('span', {}));
    button.dataset.paused = paused;
    setText(button.lastElementChild, text);
    setAttribute(button, 'aria-pressed', String(paused));
  }

  function draw() {
    list.replaceChildren(...items.filter(matches).toReversed().map(row));
    none.hidden = list.childElementCount > 0;
    list.hidden = !none.hidden;
    element.dataset.count = items.length;
  }

  /** Many lines may come at a time; they are drawn once. */
  function soon() {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      const fresh = waiting.splice(0);
      if (!fresh.length) return;
      items = [...items, ...fresh].slice(-MOST);
      const shown = fresh.filter(matches);
      if (shown.length > 100 || !list.childElementCount) draw();
      else list.prepend(...shown.toReversed().map(row));
      while (list.childElementCount > MOST) list.lastElementChild.remove();
      none.hidden = list.childElementCount > 0;
      list.hidden = !none.hidden;
      element.dataset.count = items.length;
    });
  }

  function pause(stop) {
    paused = stop;
    if (!paused) soon();
    drawButton();
  }

  const element = h('div', { class: 'tail-box' }, list, none);
  element.push = item => {
    waiting.push(item);
    if (waiting.length > MOST) waiting.shift();
    if (paused) drawButton();
    else soon();
  };
  element.reset = () => {
    items = [];
    waiting = [];
    draw();
    drawButton();
  };
  /** Applies a changed filter. */
  element.draw = draw;
  element.controls = [button, clear];
  drawButton();
  draw();
  return element;
}
