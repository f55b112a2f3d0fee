// Brings the bytes of endless media: over HTTP or over a WebSocket.

async function overHttp(url, take, signal) {
  const answer = await fetch(url, { signal, cache: 'no-store' });
  if (!answer.ok) {
    const { status } = answer;
    return { state: [401, 403].includes(status) ? 'refused' : status === 404 ? 'missing' : 'broken', detail: String(status) };
  }
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { state: 'ended' };
    take(value);
  }
}

function overSocket(url, take, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    let got = false;
    signal.addEventListener('abort', () => socket.close());
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string' || signal.aborted) return;
      got = true;
      try {
        take(new Uint8Array(data));
      } catch (error) {
        socket.close();
        reject(error);
      }
    });
    // Pages are not told why a WebSocket is refused.
    socket.addEventListener('close', () => resolve({ state: got ? 'ended' : 'missing' }));
  });
}

/**
 * Gives each chunk to `take` until `signal` aborts, which closes the connection at once. Resolves
 * with how it ended, as players report it; rejects when the network breaks, or with what `take` throws.
 */
export const bring = (url, take, signal) => (url.startsWith('ws') ? overSocket : overHttp)(url, take, signal);
