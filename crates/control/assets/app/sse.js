// Reads event streams with fetch(): EventSource could not show the token.
import { authorized } from './api.js';
import { connection } from './connection.js';

/** Splits the text of an event stream into events. */
export class EventParser {
  constructor(deliver) {
    this.deliver = deliver;
    this.rest = '';
    this.reset();
  }

  reset() {
    this.event = { id: '', name: 'message', data: [] };
  }

  push(text) {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    lines.forEach(line => this.line(line));
  }

  line(line) {
    if (line === '') {
      const { id, name, data } = this.event;
      this.reset();
      if (data.length) this.deliver({ id, name, data: data.join('\n') });
      return;
    }
    const colon = line.indexOf(':');
    // A colon in front makes a comment: a sign of life.
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.event.data.push(value);
    else if (field === 'event') this.event.name = value;
    else if (field === 'id') this.event.id = value;
  }
}

const pause = (milliseconds, signal) => new Promise(resolve => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  connection.on('back', resolve, { once: true, signal });
});

/** Ends once the page is to be seen. */
function visible(signal) {
  return new Promise(resolve => {
    const look = () => (!document.hidden || signal.aborted) && resolve();
    document.addEventListener('visibilitychange', look, { signal });
    signal.addEventListener('abort', look, { once: true });
    look();
  });
}

/** A signal that ends with `signal`, and once the page is hidden. */
function whileVisible(signal) {
  const ending = new AbortController();
  document.addEventListener('visibilitychange', () => document.hidden && ending.abort(), { signal: AbortSignal.any([signal, ending.signal]) });
  return AbortSignal.any([signal, ending.signal]);
}

/**
 * Delivers the events at `path` until `signal` ends it, and connects again when the stream
 * breaks off. `opened` is called for every connection: recent events then come once more.
 * Without `hidden` it rests while the page is hidden: browsers allow a server few connections
 * for all tabs together.
 */
export async function listen(path, signal, deliver, { opened = () => {}, hidden = true } = {}) {
  let wait = 500;
  while (!signal.aborted) {
    if (!hidden) await visible(signal);
    try {
      const answer = await authorized(`/api/v1${path}`, {
        signal: hidden ? signal : whileVisible(signal), headers: { accept: 'text/event-stream' },
      });
      if (!answer.ok) throw new Error(`${answer.status}`);
      opened();
      const parser = new EventParser(({ name, data, id }) => {
        try {
          deliver(name, JSON.parse(data), id);
        } catch (error) {
          console.warn('an event could not be read', error);
        }
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        wait = 500;
        parser.push(value);
      }
    } catch {
      // Whatever went wrong, the answer is the same: wait, and connect again.
    }
    if (signal.aborted) return;
    await pause(wait, signal);
    wait = Math.min(wait * 2, 10_000);
  }
}
