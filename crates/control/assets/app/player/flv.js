// FLV and MPEG-TS, over HTTP and WebSocket, by mpegts.js.
import { bring } from './source.js';

let loading = null;

/** The library is loaded when it is first needed: it is larger than the rest of the page. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = new URL('../../vendor/mpegts.js', import.meta.url);
    script.onload = () => {
      window.mpegts.LoggingControl.enableAll = false;
      resolve(window.mpegts);
    };
    script.onerror = () => reject(new Error('mpegts.js'));
    document.head.append(script);
  });
  return loading;
}

// What browsers say of a source that is fed already and shall get one more track (DOMException).
const QUOTA = 22;

/**
 * What brings live media to the library; `came(count)` hears of bytes, `report` of what goes wrong.
 * The library's own loaders do not tell how many came, hold a connection that is silent when they
 * are done with it, and fall silent when the library fails on what came.
 */
function loaderFor({ BaseLoader, LoaderStatus }, came, report) {
  return class extends BaseLoader {
    constructor() {
      super('page');
      this._needStash = true;
      this.ending = new AbortController();
    }

    open({ url }, { from }) {
      const { signal } = this.ending;
      let received = 0;
      this._status = LoaderStatus.kConnecting;
      const take = chunk => {
        if (signal.aborted) return;
        this._status = LoaderStatus.kBuffering;
        const at = from + received;
        received += chunk.byteLength;
        came(chunk.byteLength);
        // The library wants buffers that are all chunk.
        const whole = chunk.byteLength === chunk.buffer.byteLength;
        hand(() => this._onDataArrival((whole ? chunk : chunk.slice()).buffer, at, received));
      };
      const hand = over => {
        try {
          over();
        } catch (error) {
          // It took in bytes that it did not expect.
          fail('codec', error.message ?? '');
        }
      };
      const fail = (state, detail) => {
        this._status = LoaderStatus.kError;
        this.ending.abort();
        report(state, detail);
      };
      bring(url, take, signal).then(({ state, detail }) => {
        if (signal.aborted) return;
        if (state !== 'ended') fail(state, detail);
        else {
          this._status = LoaderStatus.kComplete;
          hand(() => this._onComplete(from, from + received - 1));
        }
      }, error => signal.aborted || fail('broken', error.message));
    }

    abort() {
      this.ending.abort();
      this._status = LoaderStatus.kComplete;
    }

    destroy() {
      this.ending.abort();
      super.destroy();
    }
  };
}

/**
 * Opens a stream or a file; `report(state, detail)` hears how it goes. `headers` go with every
 * request; `mute` leaves the sound of FLV aside.
 */
export function openFlv(video, url, report, { type, live = true, headers = {}, mute = false }) {
  let player = null;
  let bytes = 0;
  let stopped = false;
  const failed = (mpegts, kind, detail, info) => {
    const { Events: _, ErrorTypes: types, ErrorDetails: details } = mpegts;
    if (info?.code === 404) report('missing');
    else if (detail === details.MEDIA_MSE_ERROR && info?.code === QUOTA && video.readyState) report('changed');
    else if ([401, 403].includes(info?.code)) report('refused', String(info.code));
    else if ((kind === types.MEDIA_ERROR && detail !== details.MEDIA_FORMAT_ERROR)
      // The library took in bytes that it did not expect: browsers have other words for the network.
      || (detail === details.NETWORK_EXCEPTION && !/fetch|network|load failed/i.test(info?.msg))) report('codec', info?.msg ?? '');
    else report('broken', detail);
  };
  library().then(mpegts => {
    if (stopped) return;
    if (!mpegts.isSupported()) {
      report('unsupported');
      return;
    }
    player = mpegts.createPlayer({ type, isLive: live, url, cors: true, ...mute && { hasAudio: false } }, {
      liveBufferLatencyChasing: live,
      liveBufferLatencyMaxLatency: 1.5,
      liveBufferLatencyMinRemain: 0.3,
      lazyLoad: !live,
      headers,
      ...live && { customLoader: loaderFor(mpegts, count => { bytes += count; }, report) },
    });
    player.on(mpegts.Events.ERROR, (kind, detail, info) => failed(mpegts, kind, detail, info));
    // A WebSocket that is refused ends as well: without a picture nobody published.
    player.on(mpegts.Events.LOADING_COMPLETE, () => live && report(video.readyState ? 'ended' : 'missing'));
    player.attachMediaElement(video);
    player.load();
  }, () => report('broken', 'mpegts.js'));
  return {
    bytes: () => bytes,
    stop() {
      stopped = true;
      player?.destroy();
      player = null;
    },
  };
}
