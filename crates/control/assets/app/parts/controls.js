// Parts that several views share: heads of pages, search fields, pagers, badges, empty states.
import { h, setAttribute, setText } from '../dom.js';
import { icon } from '../icons.js';
import { number } from '../format.js';
import { t } from '../i18n.js';

/** The head of a view: its title, what it is for, and its buttons. */
export function viewHead(title, text, ...actions) {
  return h('div', { class: 'view-head' },
    h('div', { class: 'view-title' }, h('h1', { tabindex: '-1' }, title), text && h('p', {}, text)),
    actions.length > 0 && h('div', { class: 'actions' }, actions));
}

/** A button with an icon. */
export function button(name, text, click, { kind = '', id, label } = {}) {
  return h('button', { type: 'button', id, class: `button ${kind}`, 'aria-label': label, on: { click } },
    name && icon(name), h('span', {}, text));
}

/** A field to search with. */
export function searchField(label, value, changed, id) {
  return h('label', { class: 'search' }, icon('search'),
    h('span', { class: 'offscreen' }, label),
    h('input', {
      type: 'search', id, placeholder: label, value, autocomplete: 'off', spellcheck: 'false',
      on: { input: event => changed(event.target.value) },
    }));
}

/** A choice among a few: pairs of value and text. */
export function choice(label, options, value, changed, id) {
  return h('label', { class: 'choice' }, h('span', {}, label),
    h('select', { id, value, on: { change: event => changed(event.target.value) } },
      options.map(([key, text]) => h('option', { value: key }, text))));
}

/** Buttons to go through pages; hidden when there is only one. */
export function pager(changed) {
  const text = h('span', { class: 'pager-text' });
  const move = step => () => changed(element.page + step);
  const back = h('button', { type: 'button', class: 'icon-button', 'aria-label': t('pager.back'), on: { click: move(-1) } }, icon('left'));
  const on = h('button', { type: 'button', class: 'icon-button', 'aria-label': t('pager.on'), on: { click: move(1) } }, icon('right'));
  const element = h('nav', { class: 'pager', 'aria-label': t('pager'), hidden: true }, text, back, on);
  element.page = 1;
  element.update = ({ total, page, per_page: size }) => {
    element.page = page;
    const pages = Math.max(1, Math.ceil(total / size));
    element.dataset.total = total;
    setText(text, total === 0 ? '' : t('pager.range', {
      from: number((page - 1) * size + 1), to: number(Math.min(total, page * size)), total: number(total),
    }));
    back.disabled = page <= 1;
    on.disabled = page >= pages;
    element.hidden = pages === 1;
    // A page that has become empty is of no use.
    if (page > pages) changed(pages);
  };
  return element;
}

/** The state of a stream. */
export function stateBadge() {
  const element = toneBadge();
  const { update } = element;
  element.update = state => update(state, t(`state.${state}`));
  return element;
}

/** A state in a tone of its own: `update(tone, text)`. */
export function toneBadge() {
  const text = h('span', {});
  const element = h('span', { class: 'badge' }, h('i', { class: 'dot' }), text);
  element.update = (tone, words) => {
    setAttribute(element, 'class', `badge ${tone}`.trim());
    setText(text, words);
  };
  return element;
}

/** Says that there is nothing, and what to do about it. */
export function emptyState(name, title, text, ...actions) {
  return h('div', { class: 'empty' }, icon(name), h('h2', {}, title), text && h('p', {}, text),
    actions.length > 0 && h('div', { class: 'actions' }, actions));
}

/** A list of facts whose values change: `update({ key: text })`. */
export function facts(entries, className = '') {
  const values = new Map();
  const element = h('dl', { class: `facts ${className}` }, entries.map(([key, label]) => {
    const value = h('dd', { 'data-fact': key }, '–');
    values.set(key, value);
    return h('div', {}, h('dt', {}, label), value);
  }));
  element.update = texts => {
    for (const [key, text] of Object.entries(texts)) setText(values.get(key), text ?? '–');
  };
  return element;
}

/** A card with a heading. */
export function card(title, ...content) {
  return h('section', { class: 'card' }, title && h('h2', {}, title), content);
}
