// The addresses of a stream for every protocol.
import { encodeName } from './api.js';

const secure = location.protocol === 'https:';

/** The host as the page was reached: what works for the page works for players. */
export const host = location.hostname || '127.0.0.1';

function origin(scheme, port, usual) {
  return `${scheme}://${host}${port === usual ? '' : `:${port}`}`;
}

/** Where media are served over HTTP, or null if nowhere. */
export function mediaOrigin(ports) {
  if (secure && ports.https) return origin('https', ports.https, 443);
  if (ports.http) return origin('http', ports.http, 80);
  if (ports.https) return origin('https', ports.https, 443);
  return null;
}

/** Adds the query that a player needs to be let in. */
function withQuery(url, query) {
  return query ? `${url}?${query.replace(/^\?/, '')}` : url;
}

const containers = { hls: 'hls', flv: 'flv', ws: 'flv', ts: 'ts', 'ws-ts': 'ts', mp4: 'mp4', 'ws-mp4': 'mp4' };

/** Whether the server, which serves `paths`, offers a stream over one of the page's transports. */
export function isOffered(name, transport, paths) {
  const prefixes = paths[containers[transport]];
  if (transport === 'hls') return prefixes != null;
  return prefixes != null && prefixes.some(prefix => `/${name}`.startsWith(prefix));
}

/** The URL of a stream for one of the page's transports; null if that is not served. */
export function playUrl(name, transport, { base, paths, query = '' }) {
  if (!base || !isOffered(name, transport, paths)) return null;
  const path = encodeName(name);
  if (transport === 'hls') return withQuery(`${base}${paths.hls}${path}.m3u8`, query);
  const overSocket = transport.startsWith('ws');
  return withQuery(`${overSocket ? base.replace(/^http/, 'ws') : base}/${path}.${containers[transport]}`, query);
}

/** URLs to play a stream elsewhere: names of protocols with addresses. */
export function streamUrls(name, server) {
  const { ports } = server;
  const path = encodeName(name);
  const base = mediaOrigin(ports);
  const over = transport => playUrl(name, transport, { base, paths: server.paths });
  return [
    base && server.player_page && ['player', `${base}/play/${path}`],
    ...[['HLS', 'hls'], ['HTTP-FLV', 'flv'], ['WS-FLV', 'ws'], ['HTTP-TS', 'ts'], ['WS-TS', 'ws-ts'], ['MP4', 'mp4'], ['WS-MP4', 'ws-mp4']]
      .map(([label, transport]) => [label, over(transport)]).filter(([, url]) => url),
    // RTMP knows no percent signs: clients send the name as it is written.
    ports.rtmp && ['RTMP', `${origin('rtmp', ports.rtmp, 1935)}/${name}`],
    ports.rtmps && ['RTMPS', `${origin('rtmps', ports.rtmps, 443)}/${name}`],
    ports.rtsp && ['RTSP', `${origin('rtsp', ports.rtsp, 554)}/${path}`],
    ports.rtsps && ['RTSPS', `${origin('rtsps', ports.rtsps, 322)}/${path}`],
  ].filter(Boolean);
}

/** Where to publish to: the server's part and the stream's part of a URL. */
export function publishTarget(scheme, name, ports) {
  const usual = { rtmp: 1935, rtmps: 443, rtsp: 554, rtsps: 322 }[scheme];
  if (!ports[scheme]) return null;
  const parts = (scheme.startsWith('rtmp') ? name : encodeName(name)).split('/');
  const key = parts.pop();
  const server = [origin(scheme, ports[scheme], usual), ...parts].join('/');
  return { server, key, url: `${server}/${key}` };
}
