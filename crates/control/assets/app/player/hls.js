// HLS by hls.js, or by the browser itself where there are no Media Source Extensions.

// Milliseconds from one change to the next: what changes more often is somebody else's matter.
const CALM = 5000;

/** Opens a playlist; `report(state, detail)` hears how it goes. `authorize(request)` adds what requests need. */
export function openHls(video, url, report, { live = true, authorize = null } = {}) {
  let player = null;
  let stopped = false;
  const ending = new AbortController();
  let repaired = 0;
  let bytes = 0;
  let known = null;
  let changed = -CALM;
  const natively = () => {
    video.src = url;
    video.addEventListener('error', () => report('broken', video.error?.message ?? ''), { signal: ending.signal });
  };
  const failed = (Hls, data) => {
    if (!data.fatal) return;
    const status = data.response?.code;
    if (status === 404) report('missing');
    else if (status === 401 || status === 403) report('refused', String(status));
    else if (/codec/i.test(data.details)) report('codec', data.mimeType ?? '');
    else if (data.type === Hls.ErrorTypes.MEDIA_ERROR && repaired++ < 2) player.recoverMediaError();
    else report('broken', data.details);
  };
  // The library waits for ever for the data of a track that was not there when it began: it begins
  // anew then, behind the change.
  const parsed = (Hls, { id, frag, tracks }) => {
    if (id !== 'main') return;
    const kinds = Object.keys(tracks);
    const isMore = known && known.run !== frag.cc && kinds.some(kind => !known.kinds.includes(kind));
    known = { run: frag.cc, kinds };
    if (!isMore) return;
    const before = changed;
    changed = performance.now();
    if (changed - before < CALM) report('changed');
    // The library shall be done with what it does before it goes.
    else setTimeout(() => stopped || launch(Hls, true), 0);
  };
  /** Where what the newest publisher sends begins, or its newest tracks. */
  const newest = ({ fragments, fragmentHint }) => {
    const all = fragmentHint ? [...fragments, fragmentHint] : fragments;
    return all.find(({ cc }) => cc === all.at(-1).cc)?.start ?? -1;
  };
  const launch = (Hls, behindChange) => {
    player?.destroy();
    known = null;
    player = new Hls({
      enableWorker: false, lowLatencyMode: live, backBufferLength: 20,
      ...authorize && { xhrSetup: authorize },
    });
    player.on(Hls.Events.ERROR, (_, data) => failed(Hls, data));
    player.on(Hls.Events.FRAG_LOADED, (_, { frag }) => { bytes += frag.stats.loaded; });
    player.on(Hls.Events.FRAG_PARSING_INIT_SEGMENT, (_, data) => live && parsed(Hls, data));
    if (behindChange) {
      player.once(Hls.Events.LEVEL_LOADED, (_, { details }) => player?.startLoad(newest(details)));
    }
    player.loadSource(url);
    player.attachMedia(video);
  };
  import('../../vendor/hls.js').then(({ default: Hls }) => {
    if (stopped) return;
    if (!Hls.isSupported()) {
      if (video.canPlayType('application/vnd.apple.mpegurl')) natively();
      else report('unsupported');
      return;
    }
    launch(Hls, false);
  }, () => report('broken', 'hls.js'));
  video.addEventListener('ended', () => report('ended'), { signal: ending.signal });
  return {
    bytes: () => bytes,
    stop() {
      stopped = true;
      ending.abort();
      player?.destroy();
      player = null;
    },
  };
}
