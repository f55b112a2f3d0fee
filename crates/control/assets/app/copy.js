// Copying text, and showing it as a code for a phone's camera.
import { h, svg } from './dom.js';
import { icon } from './icons.js';
import { openDialog } from './dialogs.js';
import { t } from './i18n.js';
import { generate } from '../vendor/lean-qr.js';

/** Puts text in the clipboard; false if the browser does not let it. */
export async function copyText(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP from another host there is no clipboard; the old way still works.
  }
  const area = h('textarea', { class: 'offscreen', 'aria-hidden': 'true', tabindex: '-1', value: text });
  (near?.parentElement ?? document.body).append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  near?.focus();
  return copied;
}

/** A button that copies what `text()` gives. `what` tells it from others. */
export function copyButton(what, text) {
  const label = h('span', { class: 'copy-label' }, t('copy'));
  const button = h('button', {
    type: 'button', class: 'button small', 'aria-label': t('copy.what', { what }), title: t('copy'),
  }, icon('copy'), label);
  let timer = 0;
  button.addEventListener('click', async () => {
    const copied = await copyText(text(), button);
    button.classList.toggle('done', copied);
    label.textContent = copied ? t('copied') : t('copy.failed');
    button.firstElementChild.replaceWith(icon(copied ? 'check' : 'close'));
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.classList.remove('done');
      label.textContent = t('copy');
      button.firstElementChild.replaceWith(icon('copy'));
    }, 1600);
  });
  return button;
}

/** Text as a QR code, with the quiet edge that cameras need. */
export function qrCode(text) {
  const code = generate(text);
  let path = '';
  for (let y = 0; y < code.size; y++) {
    for (let x = 0; x < code.size; x++) if (code.get(x, y)) path += `M${x} ${y}h1v1h-1z`;
  }
  return svg('svg', {
    class: 'qr', viewBox: `-4 -4 ${code.size + 8} ${code.size + 8}`, role: 'img',
    'aria-label': t('qr.of', { text }), 'shape-rendering': 'crispEdges',
  }, svg('rect', { x: -4, y: -4, width: code.size + 8, height: code.size + 8, class: 'qr-paper' }),
  svg('path', { d: path, class: 'qr-ink' }));
}

/** A button that shows a QR code of what `text()` gives. */
export function qrButton(what, text) {
  return h('button', {
    type: 'button', class: 'button small', 'aria-label': t('qr.show', { what }), title: t('qr'),
    on: {
      click: () => openDialog(what, h('div', { class: 'qr-box' },
        qrCode(text()), h('code', {}, text()))),
    },
  }, icon('qr'));
}

/** A line with a name, a text, and buttons for it. */
export function copyLine(what, text) {
  return h('div', { class: 'copy-line' },
    h('dt', {}, what),
    h('dd', {},
      h('code', { tabindex: '0', 'aria-label': what, role: 'region' }, text),
      h('span', { class: 'copy-buttons' }, copyButton(what, () => text), qrButton(what, () => text))));
}

/** A command, shown whole, with a button that copies it. */
export function copyBlock(what, text) {
  return h('div', { class: 'copy-block' }, h('pre', {}, h('code', {}, text)), copyButton(what, () => text));
}
