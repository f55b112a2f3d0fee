// A mock of the server's API with moving figures, for work on the page without a server.
//   node mock/server.mjs [--port N] [--token T] [--sessions N] [--devices N] [--empty]
//       [--http PORT]
// With --http, media are those of a server at that port; otherwise the demo's clip is served as
// endless FLV. Without --devices 0, cameras are registered; GET /mock/orders tells what they were
// told. POST /mock/publish and /mock/unpublish {"name"} make streams come and go.
import { readFileSync, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, extname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';
import { Devices } from './devices.mjs';
import { serveMedia } from './media.mjs';
import { Relays } from './relays.mjs';
import { World } from './world.mjs';

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '8083' },
    token: { type: 'string' },
    sessions: { type: 'string', default: '240' },
    devices: { type: 'string', default: '60' },
    http: { type: 'string' },
    empty: { type: 'boolean', default: false },
  },
});
const here = dirname(new URL(import.meta.url).pathname);
const assets = join(here, '../../../crates/control/assets');
const types = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8', '.flv': 'video/x-flv', '.svg': 'image/svg+xml',
};
const policy = "default-src 'self'; media-src * blob:; img-src 'self' data: blob:; connect-src *; "
  + "worker-src 'self' blob:; style-src 'self'; script-src 'self'";

const clip = readFileSync(join(assets, 'demo.flv'));
const mediaPort = options.http ? Number(options.http) : await serveMedia(clip, join(here, '../../..'));
const world = new World({ mediaPort, viewers: Number(options.sessions), empty: options.empty });
const devices = new Devices({ count: Number(options.devices), empty: options.empty, enabled: options.devices !== '0' });
const relays = new Relays({ empty: options.empty });

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

function json(response, body, status = 200) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(body === undefined ? '' : JSON.stringify(body));
}

function asset(request, response, path) {
  const name = normalize(path === '/' ? '/index.html' : path.startsWith('/play/') ? '/play.html'
    : path.replace(/^\/play-assets/, ''));
  const file = join(assets, name);
  if (!file.startsWith(assets) || !existsSync(file) || !statSync(file).isFile()) {
    json(response, { error: 'there is nothing here' }, 404);
    return;
  }
  response.writeHead(200, {
    'content-type': types[extname(file)] ?? 'application/octet-stream',
    'cache-control': 'no-cache', 'content-security-policy': policy,
  });
  response.end(readFileSync(file));
}

/** Sends recent events and then those that come. */
function eventStream(response, recent, source, format) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  for (const item of recent) response.write(format(item));
  const send = item => response.write(format(item));
  const alive = setInterval(() => response.write(': alive\n\n'), 15_000);
  source.on('item', send);
  response.on('close', () => {
    clearInterval(alive);
    source.off('item', send);
  });
}

const asEvent = ({ id, name, data }) => `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const asLine = line => `event: log\ndata: ${JSON.stringify(line)}\n\n`;

async function bodyOf(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    throw new Refused(400, 'the body is not JSON');
  }
}

function page(items, query) {
  const number = Math.max(1, Number(query.get('page')) || 1);
  const size = Math.max(1, Number(query.get('per_page')) || 50);
  return { total: items.length, page: number, per_page: size, items: items.slice((number - 1) * size, number * size) };
}

async function answer(request, response, path, query) {
  const body = ['POST', 'PUT'].includes(request.method) ? await bodyOf(request) : {};
  const rest = path.replace('/api/v1', '');
  const call = `${request.method} ${rest}`;
  const known = { ...world.table(Refused), ...devices.table(Refused), ...relays.table(Refused) };
  if (call === 'GET /streams') return json(response, page(world.listStreams(query), query));
  if (call === 'GET /sessions') return json(response, page(world.listSessions(query), query));
  if (call === 'GET /events') return eventStream(response, query.get('recent') === '0' ? [] : world.events, world.eventSource, asEvent);
  if (call === 'GET /log') return eventStream(response, world.log, world.logSource, asLine);
  if (call === 'GET /devices') return json(response, { enabled: devices.enabled, ...page(devices.found(query.get('search') ?? ''), query) });
  if (call in known) return json(response, known[call](body, query));
  const name = decodeURIComponent(rest.replace(/^\/(streams|sessions|devices)\//, ''));
  if (call.startsWith('GET /streams/')) return json(response, world.detail(name) ?? refuse(`there is no stream ${name}`));
  if (call.startsWith('GET /sessions/')) return json(response, world.sessions.get(name) ?? refuse('there is no such session'));
  if (call.startsWith('GET /devices/')) return json(response, devices.find(name) ?? refuse('there is no such device'));
  if (call.startsWith('DELETE /sessions/')) {
    if (!world.kick(name)) refuse('there is no such session');
    response.writeHead(204).end();
    return undefined;
  }
  return refuse('there is no such path');
}

function refuse(text) {
  throw new Refused(404, text);
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://mock');
  try {
    if (pathname === '/healthz') response.end('ok');
    else if (pathname === '/mock/publish') json(response, world.arrive((await bodyOf(request)).name));
    else if (pathname === '/mock/unpublish') json(response, world.unpublish((await bodyOf(request)).name));
    else if (pathname === '/mock/orders') json(response, devices.orders);
    else if (pathname.startsWith('/api/') || pathname.startsWith('/record/')) {
      if (options.token && request.headers.authorization !== `Bearer ${options.token}`) {
        response.setHeader('www-authenticate', 'Bearer');
        throw new Refused(401, 'show the token of the API');
      }
      if (pathname.startsWith('/record/')) {
        response.writeHead(200, { 'content-type': 'video/x-flv' });
        response.end(clip);
      } else await answer(request, response, pathname, searchParams);
    } else asset(request, response, pathname);
  } catch (error) {
    json(response, { error: error.message }, error.status ?? 500);
  }
});
server.listen(Number(options.port), '127.0.0.1', () => {
  console.log(JSON.stringify({ page: `http://127.0.0.1:${server.address().port}/`, media: mediaPort }));
});
