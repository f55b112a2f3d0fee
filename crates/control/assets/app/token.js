// Asks for the token of the API when the server wants one.
import { setToken } from './api.js';
import { h } from './dom.js';
import { openDialog } from './dialogs.js';
import { t } from './i18n.js';

/** Ends when a token was entered. The dialog cannot be put off: nothing works without it. */
export async function askToken(refused) {
  const field = h('input', {
    id: 'token', type: 'password', autocomplete: 'current-password', required: true,
    spellcheck: 'false', 'aria-describedby': 'token-help',
  });
  const form = h('form', { method: 'dialog', class: 'token-form' },
    h('p', { id: 'token-help' }, t('token.help')),
    refused && h('p', { class: 'notice bad', id: 'token-refused', role: 'alert' }, t('token.refused')),
    h('label', { for: 'token' }, t('token.label')),
    field,
    h('div', { class: 'dialog-foot' }, h('button', { class: 'button primary' }, t('token.enter'))));
  if (refused) field.setAttribute('aria-invalid', 'true');
  const { done } = openDialog(t('token.title'), form, { locked: true });
  field.focus();
  form.addEventListener('submit', () => setToken(field.value.trim()));
  await done;
}
