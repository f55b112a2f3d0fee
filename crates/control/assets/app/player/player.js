// One player for all transports: what differs is who feeds the video.
import { openFlv } from './flv.js';
import { openHls } from './hls.js';
import { openMp4 } from './mse.js';

/** The transports, by the names that links use. */
export const transports = {
  flv: 'HTTP-FLV',
  ws: 'WebSocket-FLV',
  ts: 'HTTP-TS',
  'ws-ts': 'WebSocket-TS',
  hls: 'HLS',
  mp4: 'MP4',
  'ws-mp4': 'WebSocket-MP4',
};

/** Whether pages can feed videos here: phones of Apple have HLS alone. */
export const sources = () => Boolean(window.MediaSource ?? window.ManagedMediaSource);

/** What this browser plays best. */
export function usualTransport() {
  return sources() ? 'flv' : 'hls';
}

/** The transport that a link means, or the usual one. */
export function transportOf(wish) {
  return Object.hasOwn(transports, wish ?? '') ? wish : usualTransport();
}

// Milliseconds: how long a picture may stand still, or not be there, while bytes come (the server
// begins with a picture), how long bytes of before may still come, and how often to look.
const [STILL, LATE, LOOK] = [5000, 1000, 500];

// After these a source brings nothing more, whatever its buffer still shows.
const OVER = ['ended', 'missing', 'refused', 'codec', 'unsupported', 'broken', 'changed'];

/**
 * Plays in `video`. `report(state, detail)` hears: waiting, playing, blocked (the browser wants
 * a click first), ended, missing, refused, codec, unsupported, broken, frozen (bytes come, but the
 * picture stands still), changed (there are tracks now that a player that runs cannot take in).
 */
export class Player {
  constructor(video, report) {
    this.video = video;
    this.report = report;
    this.source = null;
    this.state = 'idle';
    this.firstAfter = null;
    video.addEventListener('playing', () => {
      clearTimeout(this.stalling);
      // What is in the buffer of a source that failed is shown still.
      if (!this.source || !this.token) return;
      this.firstAfter ??= performance.now() - this.began;
      this.tell('playing');
    });
    // Short waits are not worth a message; they come with every jump to the newest picture.
    video.addEventListener('waiting', () => {
      clearTimeout(this.stalling);
      this.stalling = setTimeout(() => this.state === 'playing' && this.tell('stalled'), 1500);
    });
    // A new source pauses the video; it is started once there is something to show.
    video.addEventListener('loadeddata', () => this.resume());
    setInterval(() => this.watch(), LOOK);
  }

  /** Notices a picture that stands still while bytes come. */
  watch() {
    const now = performance.now();
    const { currentTime } = this.video;
    const moves = this.moment !== currentTime && currentTime > 0;
    const looks = ['waiting', 'playing', 'stalled'].includes(this.state) && !document.hidden;
    const bytes = this.source?.bytes() ?? 0;
    if (moves || !looks || !this.source) {
      Object.assign(this, { moment: currentTime, moved: now, seen: bytes });
      return;
    }
    // While a publisher is away, nothing comes: that is no fault.
    if (now - this.moved < LATE) this.seen = bytes;
    if (now - this.moved < STILL || bytes === this.seen) return;
    // Nobody takes what comes.
    this.token = null;
    this.source.stop();
    this.source = null;
    this.tell('frozen');
  }

  tell(state, detail) {
    this.state = state;
    this.report(state, detail);
  }

  /** Plays from `url`; `mute` leaves sound aside where the transport allows for it. */
  play(url, transport, mute = false) {
    this.stop();
    this.began = performance.now();
    Object.assign(this, { moment: 0, moved: this.began, seen: 0 });
    this.firstAfter = null;
    this.tell('waiting');
    if (transport !== 'hls' && !sources()) {
      this.tell('unsupported');
      return;
    }
    const mine = {};
    this.token = mine;
    // Reports of a source that was stopped, or has failed, are of no interest any more.
    const report = (state, detail) => {
      if (this.token !== mine) return;
      if (OVER.includes(state)) this.token = null;
      this.tell(state, detail);
    };
    this.source = this.open(url, transport, report, mute);
  }

  /** Nothing can play this: it is as if a player had said so. */
  refuse() {
    this.stop();
    this.tell('codec');
  }

  /** Whether the source has brought anything. */
  get fed() {
    return (this.source?.bytes() ?? 0) > 0;
  }

  /** Starts the video; browsers may want a click for that, which is where this is called again. */
  resume() {
    if (!this.source) return;
    this.video.play().catch(error => {
      if (error.name === 'NotAllowedError' && this.source) this.tell('blocked');
    });
  }

  open(url, transport, report, mute) {
    if (transport === 'hls') return openHls(this.video, url, report);
    if (transport.endsWith('mp4')) return openMp4(this.video, url, report, mute);
    return openFlv(this.video, url, report, { type: transport.endsWith('ts') ? 'mpegts' : 'flv', mute });
  }

  stop() {
    clearTimeout(this.stalling);
    this.token = null;
    const old = this.source;
    this.source = null;
    old?.stop();
    this.video.removeAttribute('src');
    this.video.load();
    this.state = 'idle';
  }

  /** What is measured while it plays. */
  figures() {
    const { video } = this;
    const quality = video.getVideoPlaybackQuality?.();
    const last = video.buffered.length - 1;
    return {
      buffered: last >= 0 ? Math.max(0, video.buffered.end(last) - video.currentTime) : 0,
      decoded: quality?.totalVideoFrames ?? 0,
      dropped: quality?.droppedVideoFrames ?? 0,
      width: video.videoWidth,
      height: video.videoHeight,
      first: this.firstAfter,
    };
  }
}
