// Plays live fragmented MP4 by Media Source Extensions: over HTTP and over WebSocket.
import { BoxReader, codecsOf, isSound, mimeOf, silenced, soundless } from './boxes.js';
import { bring } from './source.js';

// Seconds: how far behind the newest picture to be, at most and after catching up, and how much
// of the past to keep.
const [LATEST, AIM, PAST] = [2.5, 0.8, 20];

class Feed {
  constructor(video, report, mute) {
    this.video = video;
    this.report = report;
    this.mute = mute;
    this.silent = new Set();
    this.skips = false;
    this.reader = new BoxReader();
    this.queue = [];
    this.head = null;
    this.buffer = null;
    this.mime = '';
    this.kinds = '';
    this.ended = false;
    this.bytes = 0;
    this.Source = window.ManagedMediaSource ?? window.MediaSource;
    // Managed sources need this: they cannot be cast to other screens.
    if (window.ManagedMediaSource) video.disableRemotePlayback = true;
    this.renew();
    this.timer = setInterval(() => this.follow(), 250);
  }

  /** A new source for the video; what waits for the old one is dropped. */
  renew() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.queue = [];
    this.buffer = null;
    this.source = new this.Source();
    this.url = URL.createObjectURL(this.source);
    this.video.src = this.url;
    this.source.addEventListener('sourceopen', () => this.drain(), { once: true });
  }

  push(chunk) {
    this.bytes += chunk.length;
    for (const { type, bytes } of this.reader.push(chunk)) {
      // What the buffer must be made for is known with `moov` alone; `ftyp` waits for it.
      if (type === 'ftyp') this.head = bytes;
      else if (type === 'moov') {
        if (this.mute) this.silent = soundless(bytes);
        this.describe(bytes);
        this.queue.push(this.head ?? bytes, ...(this.head ? [bytes] : []));
        this.head = null;
      } else {
        if (type === 'moof') this.skips = this.silent.size > 0 && !silenced(bytes, this.silent);
        if (!this.skips) this.queue.push(bytes);
      }
    }
    this.drain();
  }

  /** Reads what a new init segment holds; codecs may change while a stream runs. */
  describe(moov) {
    const codecs = codecsOf(moov);
    const mime = mimeOf(codecs);
    if (mime === this.mime) return;
    const refused = codecs.find(codec => !this.Source.isTypeSupported(mimeOf([codec])));
    if (refused || !codecs.length) throw Object.assign(new Error('codec'), { codec: refused ?? '' });
    // A buffer may change its codecs, but keeps its tracks: one picture, one sound, or both.
    const kinds = codecs.map(isSound).sort().join();
    if (this.kinds && kinds !== this.kinds) this.renew();
    this.kinds = kinds;
    this.mime = mime;
    this.queue.push({ mime });
  }

  drain() {
    if (this.source.readyState !== 'open' || this.buffer?.updating) return;
    const next = this.queue.shift();
    if (!next) {
      if (this.ended && this.buffer) this.source.endOfStream();
      return;
    }
    try {
      if (!next.mime) {
        // Bytes before any description are of no use.
        this.buffer?.appendBuffer(next);
      } else if (this.buffer) {
        this.buffer.changeType(next.mime);
      } else {
        this.buffer = this.source.addSourceBuffer(next.mime);
        this.buffer.addEventListener('updateend', ({ target }) => target === this.buffer && this.drain());
      }
      if (!this.buffer?.updating) this.drain();
    } catch (error) {
      if (error.name === 'QuotaExceededError') {
        this.queue.unshift(next);
        this.forget(2);
      } else this.report('broken', error.message);
    }
  }

  /** Drops what was shown `past` seconds ago. */
  forget(past) {
    const { buffered, currentTime } = this.video;
    if (!buffered.length || this.buffer?.updating || this.source.readyState !== 'open') return;
    const until = currentTime - past;
    if (until - buffered.start(0) > past / 2) this.buffer.remove(0, until);
  }

  /** Keeps near to the newest picture, and jumps over holes. */
  follow() {
    const { buffered } = this.video;
    if (!buffered.length) return;
    const last = buffered.length - 1;
    const [start, end] = [buffered.start(last), buffered.end(last)];
    const now = this.video.currentTime;
    if (now < start) this.video.currentTime = Math.max(start, end - AIM);
    else if (end - now > LATEST && !this.ended) this.video.currentTime = end - AIM;
    this.forget(PAST);
  }

  end() {
    this.ended = true;
    this.drain();
  }

  stop() {
    clearInterval(this.timer);
    this.queue = [];
    URL.revokeObjectURL(this.url);
  }
}

/** Opens a live MP4; `report(state, detail)` hears how it goes. `mute` leaves its sound aside. */
export function openMp4(video, url, report, mute) {
  const ending = new AbortController();
  const feed = new Feed(video, report, mute);
  video.addEventListener('error', () => report('broken', video.error?.message ?? ''), { signal: ending.signal });
  bring(url, chunk => feed.push(chunk), ending.signal).then(({ state, detail }) => {
    if (ending.signal.aborted) return;
    if (state === 'ended') feed.end();
    report(state, detail);
  }, error => {
    if (ending.signal.aborted) return;
    if (error.message === 'codec') report('codec', error.codec);
    else report('broken', error.message);
    ending.abort();
  });
  return {
    bytes: () => feed.bytes,
    stop() {
      ending.abort();
      feed.stop();
    },
  };
}
