// What is known of a stream beyond its picture: figures, tracks, repairs.
import { h, reconcile, setText } from '../dom.js';
import { bytes, date, number, rate, since } from '../format.js';
import { t } from '../i18n.js';
import { card, facts } from './controls.js';

const seconds = milliseconds => t('unit.seconds', { n: number(milliseconds / 1000, 2) });

/** Figures of now. */
export function figuresCard() {
  const keys = ['viewers', 'since', 'in', 'out', 'fps', 'frames', 'gop', 'key', 'cached', 'user', 'publisher'];
  const list = facts(keys.map(key => [key, t(`fact.${key}`)]), 'grid');
  const element = card(t('facts'), list);
  element.update = stream => {
    const intervals = stream.key_interval_ms ?? [];
    const [least, most] = [Math.min(...intervals), Math.max(...intervals)];
    list.update({
      viewers: number(stream.viewers),
      in: rate(stream.in_kbps),
      out: rate(stream.out_kbps),
      fps: stream.fps ? number(stream.fps, stream.fps % 1 ? 1 : 0) : '–',
      since: stream.publisher ? since(stream.publisher.started) : '–',
      publisher: stream.publisher ? `${stream.publisher.protocol} ${stream.publisher.peer}` : '–',
      user: stream.publisher?.user ?? '–',
      gop: stream.gop_frames ? t('fact.gop.value', { frames: number(stream.gop_frames), time: seconds(stream.gop_ms) }) : '–',
      key: !intervals.length ? '–' : least === most ? seconds(least) : `${number(least / 1000, 2)} – ${seconds(most)}`,
      frames: Number.isFinite(stream.frames) ? number(stream.frames) : '–',
      cached: bytes(stream.cached_bytes),
    });
    element.title = stream.publisher ? date(stream.publisher.started) : '';
  };
  return element;
}

function trackRow() {
  const [kind, codec, detail] = [h('span', { class: 'tag' }), h('strong', {}), h('span', { class: 'soft' })];
  const element = h('li', {}, kind, h('div', {}, codec, detail));
  element.update = track => {
    setText(kind, t(`track.${track.kind}`));
    setText(codec, track.codec);
    setText(detail, [
      track.profile && t('track.profile', { name: track.profile }),
      track.level && t('track.level', { name: track.level }),
      track.width && `${track.width}×${track.height}`,
      track.fps && `${number(track.fps, track.fps % 1 ? 2 : 0)} fps`,
      track.sample_rate && `${number(track.sample_rate)} Hz`,
      track.channels && t('track.channels', { n: track.channels }),
    ].filter(Boolean).join(' · '));
  };
  return element;
}

/** The tracks of a stream. */
export function tracksCard() {
  const list = h('ul', { class: 'tracks', id: 'tracks' });
  const none = h('p', { class: 'no-rows' }, t('tracks.none'));
  const element = card(t('tracks'), list, none);
  element.update = stream => {
    const tracks = stream.tracks ?? [];
    reconcile(list, tracks, track => track.id, trackRow);
    none.hidden = tracks.length > 0;
  };
  return element;
}

/** What the server had to mend or leave out. */
export function repairsCard() {
  const keys = ['timestamp_jumps', 'timestamp_regressions', 'lost_packets', 'torn_frames', 'skips'];
  const list = facts(keys.map(key => [key, t(`repair.${key}`)]), 'rows');
  const element = card(t('repairs'), list);
  element.update = stream => {
    const values = { ...stream.repairs, skips: stream.skips };
    list.update(Object.fromEntries(keys.map(key => [key, Number.isFinite(values[key]) ? number(values[key]) : '–'])));
    for (const key of keys) list.querySelector(`[data-fact=${key}]`).classList.toggle('warn', values[key] > 0);
  };
  return element;
}
