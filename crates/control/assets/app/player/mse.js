// Plays live fragmented MP4 by Media Source Extensions: over HTTP and over WebSocket.
import { BoxReader, codecsOf, isSound, mimeOf } from './boxes.js';

// Seconds: how far behind the newest picture to be, at most and after catching up, and how much
// of the past to keep.
const [LATEST, AIM, PAST] = [2.5, 0.8, 20];

class Feed {
  constructor(video, report) {
    this.video = video;
    this.report = report;
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
        this.describe(bytes);
        this.queue.push(this.head ?? bytes, ...(this.head ? [bytes] : []));
        this.head = null;
      } else this.queue.push(bytes);
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

async function overHttp(url, feed, report, signal) {
  const answer = await fetch(url, { signal, cache: 'no-store' });
  if (!answer.ok) {
    report([401, 403].includes(answer.status) ? 'refused' : answer.status === 404 ? 'missing' : 'broken',
      `${answer.status}`);
    return;
  }
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    feed.push(value);
  }
  feed.end();
  report('ended');
}

function overSocket(url, feed, report, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    let got = 0;
    signal.addEventListener('abort', () => socket.close());
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string' || signal.aborted) return;
      got += data.byteLength;
      try {
        feed.push(new Uint8Array(data));
      } catch (error) {
        socket.close();
        reject(error);
      }
    });
    socket.addEventListener('close', () => {
      if (signal.aborted) return;
      feed.end();
      report(got ? 'ended' : 'missing');
      resolve();
    });
  });
}

/** Opens a live MP4; `report(state, detail)` hears how it goes. */
export function openMp4(video, url, report) {
  const ending = new AbortController();
  const feed = new Feed(video, report);
  video.addEventListener('error', () => report('broken', video.error?.message ?? ''), { signal: ending.signal });
  const work = url.startsWith('ws') ? overSocket : overHttp;
  work(url, feed, report, ending.signal).catch(error => {
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
