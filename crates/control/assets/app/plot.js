// Plots of values over time: lines and areas in SVG, coloured by the style sheet.
import { h, setAttribute, setText, svg } from './dom.js';
import { duration } from './format.js';
import { t } from './i18n.js';

const [WIDTH, HEIGHT] = [600, 120];

/** The next "round" number, so that the upper edge means something. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 7.5, 10].map(step => step * power).find(step => step >= value * 1.02)
    ?? 20 * power;
}

/**
 * A plot with a title, its latest values and an area for each series. `series` has `key` and
 * `label`; `format` makes text of a value. `data-points` and `data-last` tell what is drawn.
 */
export function plot({ id, title, series, format, floor = 0 }) {
  const values = series.map(({ key }) => h('strong', { class: `now s-${key}`, 'data-series': key }, '–'));
  const lines = series.map(({ key }) => svg('path', { class: `line s-${key}` }));
  const areas = series.map(({ key }) => svg('path', { class: `area s-${key}` }));
  const cross = svg('line', { class: 'cross', y1: 0, y2: HEIGHT, visibility: 'hidden' });
  const drawing = svg('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
  }, svg('path', { class: 'grid', d: `M0 ${HEIGHT / 2}H${WIDTH}M0 1H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}` }),
  areas, lines, cross);
  const [upper, from, until] = [h('span', { class: 'upper' }), h('span'), h('span', {}, t('plot.now'))];
  const tip = h('div', { class: 'tip', hidden: true });
  const empty = h('p', { class: 'plot-empty' }, t('plot.empty'));
  const figure = h('figure', { class: 'plot', id, 'data-points': '0' },
    h('figcaption', {},
      h('span', { class: 'plot-title' }, title),
      h('span', { class: 'plot-values' }, series.map(({ label }, index) => h('span', { class: 'plot-value' },
        series.length > 1 && h('span', { class: `key s-${series[index].key}` }, label), values[index])))),
    h('div', { class: 'plot-area' }, drawing, upper, tip, empty),
    h('div', { class: 'plot-axis' }, from, until));
  let data = null;

  const points = () => data?.columns[0]?.length ?? 0;
  const x = index => points() < 2 ? WIDTH : index / (points() - 1) * WIDTH;

  drawing.addEventListener('pointermove', event => {
    if (points() < 2) return;
    const box = drawing.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const index = Math.round(part * (points() - 1));
    setAttribute(cross, 'x1', x(index));
    setAttribute(cross, 'x2', x(index));
    setAttribute(cross, 'visibility', 'visible');
    const ago = (points() - 1 - index) * data.interval;
    const texts = series.map(({ label }, row) => `${series.length > 1 ? `${label} ` : ''}${format(data.columns[row][index])}`);
    setText(tip, `${ago ? t('plot.ago', { time: duration(ago) }) : t('plot.now')} · ${texts.join(' · ')}`);
    tip.hidden = false;
    tip.classList.toggle('right', part < 0.5);
  });
  drawing.addEventListener('pointerleave', () => {
    tip.hidden = true;
    setAttribute(cross, 'visibility', 'hidden');
  });

  /** Shows a history as the server tells it. */
  figure.update = history => {
    const columns = series.map(({ key }) => history[key] ?? []);
    data = { columns, interval: history.interval_seconds || 1 };
    const count = points();
    const top = ceiling(Math.max(floor, ...columns.flat()));
    columns.forEach((column, row) => {
      const y = value => HEIGHT - 2 - Math.max(0, value) / top * (HEIGHT - 4);
      const line = column.map((value, index) => `${index ? 'L' : 'M'}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join('');
      setAttribute(lines[row], 'd', count > 1 ? line : '');
      setAttribute(areas[row], 'd', count > 1 ? `${line}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` : '');
      setText(values[row], format(column.at(-1)));
    });
    empty.hidden = count > 1;
    setText(upper, count > 1 ? format(top) : '');
    setText(from, count > 1 ? t('plot.ago', { time: duration((count - 1) * data.interval) }) : '');
    figure.dataset.points = count;
    figure.dataset.last = columns.map(column => column.at(-1) ?? '').join(' ');
    figure.dataset.until = history.until ?? '';
    setAttribute(drawing, 'aria-label', `${title}: ${series.map(({ label }, row) => `${label} ${format(columns[row].at(-1))}`).join(', ')}`);
  };
  setAttribute(drawing, 'aria-label', title);
  return figure;
}
