// Tables that become cards on narrow screens. The roles are written out, because browsers
// forget them when the style of a table is changed.
import { h, reconcile, setAttribute, setText } from '../dom.js';
import { icon } from '../icons.js';
import { t } from '../i18n.js';

/**
 * A table. `columns` have `key`, `label`, `className`, `sort` (whether the head sorts), and
 * `cell()`, which makes the content with a method `update(item)`. `sorted(key)` hears clicks.
 */
export function table({ label, columns, key, sorted, id }) {
  const heads = columns.map(column => {
    const head = h('th', { role: 'columnheader', scope: 'col', class: column.className },
      column.sort
        ? h('button', { type: 'button', class: 'sort', on: { click: () => sorted(column.key) } }, column.label, h('i', { 'aria-hidden': 'true' }))
        : column.quiet ? h('span', { class: 'offscreen' }, column.label) : column.label);
    return head;
  });
  const body = h('tbody', { role: 'rowgroup', id });
  const element = h('table', { class: 'table', role: 'table', 'aria-label': label },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)), body);

  const makeRow = () => {
    const cells = columns.map(column => {
      const content = column.cell();
      const cell = h('td', { role: 'cell', class: column.className, 'data-label': column.quiet ? '' : column.label }, content);
      return { cell, content };
    });
    const row = h('tr', { role: 'row' }, cells.map(({ cell }) => cell));
    row.update = item => cells.forEach(({ content }) => content.update(item));
    return row;
  };
  element.update = items => reconcile(body, items, key, makeRow);
  /** Marks by what the table is sorted. */
  element.mark = (by, order) => columns.forEach((column, index) => {
    if (column.sort) setAttribute(heads[index], 'aria-sort', column.key === by ? (order === 'asc' ? 'ascending' : 'descending') : 'none');
  });
  return element;
}

/** A cell of text. */
export function textCell(text, className) {
  return () => {
    const element = h('span', { class: className });
    element.update = item => {
      const now = String(text(item) ?? '');
      if (element.textContent !== now) element.textContent = now;
    };
    return element;
  };
}

/** A cell of text, and of what is written small below it, if anything. */
export function stackedCell(text, below, { className = '', belowName = 'soft' } = {}) {
  return () => {
    const [first, second] = [h('span', { class: className }), h('small', { class: belowName })];
    const element = h('div', { class: 'stacked' }, first, second);
    element.update = item => {
      const more = below(item) ?? '';
      setText(first, text(item));
      setText(second, more);
      second.hidden = more === '';
    };
    return element;
  };
}

/** A cell with one button that does something to the row's item. */
export function buttonCell(name, label, click, kind = 'small') {
  return () => {
    let item = null;
    const element = h('button', { type: 'button', class: `button ${kind}`, on: { click: () => click(item) } },
      icon(name), h('span', {}, label));
    element.update = now => {
      item = now;
      setAttribute(element, 'aria-label', `${label}: ${now.id ?? now.name ?? now.ip ?? now.path ?? ''}`);
    };
    return element;
  };
}

/** What a table says when it is empty. */
export function noRows(text = t('nothing')) {
  return h('p', { class: 'no-rows' }, text);
}
