// A card with a table of all that the server has, which is searched and paged here.
import { debounce, h, setText } from '../dom.js';
import { number } from '../format.js';
import { t } from '../i18n.js';
import { pager, searchField } from './controls.js';
import { noRows } from './table.js';

const PER_PAGE = 25;

/**
 * A card for `list`, a table. `text(item)` is what is searched, `none` what is shown when there
 * is nothing. `update(items)` takes them all.
 */
export function listCard({ title, list, text, search, none, actions = [], id }) {
  let items = [];
  let page = 1;
  let wanted = '';
  const count = h('span', { class: 'count' });
  const unfound = noRows(t('empty.search'));
  const pages = pager(to => {
    page = to;
    draw();
  });
  const field = searchField(search, '', debounce(value => {
    [wanted, page] = [value.toLowerCase(), 1];
    draw();
  }, 120), `${id}-search`);
  const element = h('section', { class: 'card flush' },
    h('div', { class: 'card-head' }, h('h2', {}, title, count), h('div', { class: 'filters' }, field, actions)),
    list, none, unfound, pages);
  list.hidden = none.hidden = unfound.hidden = field.hidden = true;

  function draw() {
    const found = wanted ? items.filter(item => text(item).toLowerCase().includes(wanted)) : items;
    list.update(found.slice((page - 1) * PER_PAGE, page * PER_PAGE));
    list.hidden = !found.length;
    none.hidden = items.length > 0;
    unfound.hidden = found.length > 0 || !items.length;
    // A few need no search; but a search that was begun stays.
    field.hidden = items.length <= PER_PAGE && !wanted;
    setText(count, items.length ? number(items.length) : '');
    pages.update({ total: found.length, page, per_page: PER_PAGE });
  }
  element.update = all => {
    items = all;
    draw();
  };
  return element;
}
