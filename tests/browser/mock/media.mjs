// The demo's clip as an endless stream: FLV over HTTP and WebSocket, with time stamps that go on.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The tags of an FLV file: their times, and their bytes with the length behind. */
function tagsOf(clip) {
  const tags = [];
  let at = 13;
  while (at + 11 <= clip.length) {
    const size = clip.readUIntBE(at + 1, 3) + 15;
    const time = clip.readUIntBE(at + 4, 3) + clip[at + 7] * 2 ** 24;
    const bytes = clip.subarray(at, at + size);
    const config = (bytes[0] === 9 || bytes[0] === 8) && bytes[12] === 0 && time === 0;
    tags.push({ time, bytes, config: config || bytes[0] === 18 });
    at += size;
  }
  return tags;
}

function stamped(tag, time) {
  const bytes = Buffer.from(tag.bytes);
  bytes.writeUIntBE(time & 0xffffff, 4, 3);
  bytes[7] = time >>> 24;
  return bytes;
}

/** Sends the clip again and again at its pace, until `send` says that nobody listens. */
function endless(clip, send) {
  const tags = tagsOf(clip);
  const length = tags.at(-1).time + 40;
  const frames = tags.filter(tag => !tag.config);
  send(Buffer.concat([clip.subarray(0, 13), ...tags.filter(tag => tag.config).map(tag => stamped(tag, 0))]));
  const began = Date.now();
  let next = 0;
  const timer = setInterval(() => {
    const due = [];
    for (;;) {
      const time = Math.floor(next / frames.length) * length + frames[next % frames.length].time;
      // A second ahead, as a cache of pictures would.
      if (time > Date.now() - began + 1000) break;
      due.push(stamped(frames[next % frames.length], time));
      next += 1;
    }
    if (due.length) send(Buffer.concat(due));
  }, 40);
  return () => clearInterval(timer);
}

/** One binary message of a WebSocket. */
function message(payload) {
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65536 ? 4 : 10);
  head[0] = 0x82;
  if (head.length === 2) head[1] = payload.length;
  else if (head.length === 4) {
    head[1] = 126;
    head.writeUInt16BE(payload.length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}

/** Serves media at a free port; returns the port. */
export function serveMedia(clip, root) {
  const server = createServer((request, response) => {
    const path = request.url.split('?')[0];
    response.setHeader('access-control-allow-origin', '*');
    if (path.startsWith('/play')) {
      // The public player is on this listener too.
      const file = path.startsWith('/play-assets/') ? path.slice(12) : '/play.html';
      const type = { js: 'text/javascript', css: 'text/css' }[file.split('.').at(-1)] ?? 'text/html';
      response.setHeader('content-type', `${type}; charset=utf-8`);
      try {
        response.end(readFileSync(join(root, 'crates/control/assets', file)));
      } catch {
        response.writeHead(404).end();
      }
      return;
    }
    if (!path.endsWith('.flv')) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'video/x-flv' });
    response.on('close', endless(clip, bytes => response.write(bytes)));
  });
  server.on('upgrade', (request, socket) => {
    const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${key}\r\n\r\n`);
    socket.on('error', () => {});
    socket.on('close', endless(clip, bytes => socket.write(message(bytes))));
  });
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port));
  });
}
