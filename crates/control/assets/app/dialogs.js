// Questions. The element <dialog> keeps the focus inside and closes by Escape.
import { h } from './dom.js';
import { icon } from './icons.js';
import { t } from './i18n.js';

let count = 0;

/** Opens a dialog; `done` ends with its return value. A locked one closes by its form alone. */
export function openDialog(title, content, { className = '', locked = false, closed } = {}) {
  const id = `dialog-${++count}`;
  const dialog = h('dialog', { class: `dialog ${className}`, 'aria-labelledby': id },
    h('div', { class: 'dialog-head' },
      h('h2', { id }, title),
      !locked && h('button', {
        type: 'button', class: 'icon-button', 'aria-label': t('close'),
        on: { click: () => dialog.close('') },
      }, icon('close'))),
    content);
  document.body.append(dialog);
  const done = new Promise(resolve => {
    dialog.addEventListener('close', () => {
      closed?.();
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
  // A click beside the dialog closes it, as people expect.
  dialog.addEventListener('click', event => {
    if (event.target === dialog && !locked) dialog.close('');
  });
  dialog.addEventListener('cancel', event => {
    if (locked) event.preventDefault();
  });
  dialog.showModal();
  return { dialog, done };
}

/** Asks whether something is meant. */
export async function confirmed(title, text, action) {
  const form = h('form', { method: 'dialog' },
    h('p', {}, text),
    h('div', { class: 'dialog-foot' },
      h('button', { class: 'button', value: '', autofocus: true }, t('cancel')),
      h('button', { class: 'button danger', value: 'yes' }, action)));
  return await openDialog(title, form).done === 'yes';
}

/** A short message at the edge of the page. */
export function toast(text, kind = 'good') {
  const holder = document.getElementById('toasts');
  const line = h('div', { class: `toast ${kind}` }, text);
  holder.append(line);
  while (holder.childElementCount > 4) holder.firstElementChild.remove();
  setTimeout(() => line.remove(), kind === 'bad' ? 9000 : 4000);
}

/** Does something and says how it went. */
export async function attempt(work, success) {
  try {
    const result = await work();
    if (success) toast(typeof success === 'function' ? success(result) : success);
    return result;
  } catch (error) {
    if (error.status) toast(error.message, 'bad');
    else toast(t('connection.lost'), 'bad');
    return undefined;
  }
}
