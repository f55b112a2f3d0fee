// Dialogs that give the server an order, and show its words when it does not take it.
import { h, setText } from '../dom.js';
import { openDialog, toast } from '../dialogs.js';
import { t } from '../i18n.js';

/** A field with its label and, where it helps, what to enter. */
export function field(label, control, help) {
  const id = `${control.id}-help`;
  if (help) control.setAttribute('aria-describedby', id);
  return h('div', { class: 'field' }, h('label', { for: control.id }, label), control,
    help && h('p', { class: 'soft', id }, help));
}

/** A line of text to enter; such texts are no words of a language. */
export function line(id, attributes) {
  return h('input', { id, autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off', ...attributes });
}

/** A whole number to enter; empty means that it is left out. */
export function figure(id, attributes) {
  return h('input', { id, type: 'number', inputmode: 'numeric', step: 1, ...attributes });
}

/** The number in a field; undefined if it is empty. */
export function figureOf(control) {
  return control.value === '' ? undefined : Number(control.value);
}

/** A choice: pairs of value and text. */
export function options(id, pairs, listeners) {
  return h('select', { id, on: listeners }, pairs.map(([key, text]) => h('option', { value: key }, text)));
}

/** Asks with `fields` until `send()` succeeds or the dialog is closed; `success` says how it went. */
export async function orderDialog(title, fields, action, send, success) {
  const fault = h('p', { class: 'notice bad', role: 'alert', hidden: true });
  const submit = h('button', { class: 'button primary' }, action);
  const form = h('form', { class: 'order-form' }, fields, fault,
    h('div', { class: 'dialog-foot' },
      h('button', { type: 'button', class: 'button', on: { click: () => dialog.close('') } }, t('cancel')), submit));
  form.addEventListener('submit', async event => {
    event.preventDefault();
    fault.hidden = submit.disabled = true;
    try {
      toast(success(await send()));
      dialog.close('yes');
    } catch (error) {
      fault.hidden = false;
      setText(fault, error.status ? error.message : t('connection.lost'));
    }
    submit.disabled = false;
  });
  const { dialog, done } = openDialog(title, form);
  form.querySelector('input').focus();
  return await done === 'yes';
}
