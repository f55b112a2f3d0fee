// Numbers and times as people read them.
import { language, t } from './i18n.js';

const formats = new Map();

function formatter(digits) {
  const key = `${language()}/${digits}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat(language(), {
      maximumFractionDigits: digits, minimumFractionDigits: digits,
    }));
  }
  return formats.get(key);
}

/** A number with separators, and with as many decimals as told. */
export function number(value, digits = 0) {
  return Number.isFinite(value) ? formatter(digits).format(value) : '–';
}

/** Three figures at most: 1.25, 12.5, 125. */
function short(value) {
  return number(value, value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2);
}

/** A bit rate, from kbit/s. */
export function rate(kbps) {
  if (!Number.isFinite(kbps)) return '–';
  if (kbps >= 1e6) return `${short(kbps / 1e6)} Gbit/s`;
  if (kbps >= 1e3) return `${short(kbps / 1e3)} Mbit/s`;
  return `${number(kbps)} kbit/s`;
}

/** An amount of bytes. */
export function bytes(count) {
  if (!Number.isFinite(count)) return '–';
  for (const [size, unit] of [[1e12, 'TB'], [1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) {
    if (count >= size) return `${short(count / size)} ${unit}`;
  }
  return `${number(count)} B`;
}

/** How long something takes, in two units at most. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24];
  const minutes = Math.floor(whole / 60) % 60;
  const parts = [[days, 'd'], [hours, 'h'], [minutes, 'min'], [whole % 60, 's']];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return t('unit.s', { n: 0 });
  return parts.slice(first, first + 2).filter(([value]) => value > 0)
    .map(([value, unit]) => t(`unit.${unit}`, { n: value })).join(' ');
}

/** How long ago an RFC 3339 time was. */
export function since(time) {
  return duration((Date.now() - Date.parse(time)) / 1000);
}

/** Hours, minutes and seconds of a time. */
export function clock(time, milliseconds = false) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '–';
  return date.toLocaleTimeString(language(), {
    hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
    ...(milliseconds ? { fractionalSecondDigits: 3 } : {}),
  });
}

/** A date with its time. */
export function date(time) {
  const moment = new Date(time);
  if (Number.isNaN(moment.getTime())) return '–';
  return moment.toLocaleString(language(), {
    year: 'numeric', month: '2-digit', day: '2-digit',
    hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
  });
}

/** A video track in few words: its codec, size and rate. */
export function videoFacts(track) {
  return [track.codec, track.width && `${track.width}×${track.height}`,
    track.fps && `${number(track.fps, track.fps % 1 ? 2 : 0)} fps`].filter(Boolean).join(' · ');
}

/** An audio track in few words. */
export function audioFacts(track) {
  const kilo = track.sample_rate / 1000;
  return [track.codec, track.sample_rate && `${number(kilo, kilo % 1 ? 1 : 0)} kHz`,
    track.channels && t('track.channels', { n: track.channels })].filter(Boolean).join(' · ');
}
