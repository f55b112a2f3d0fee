// FLV and MPEG-TS, over HTTP and WebSocket, by mpegts.js.

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
    });
    player.on(mpegts.Events.ERROR, (kind, detail, info) => failed(mpegts, kind, detail, info));
    player.on(mpegts.Events.STATISTICS_INFO, ({ speed }) => { bytes += speed; });
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
