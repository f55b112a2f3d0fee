// Speaks with the server: requests, the token, and work that is repeated.
import { connection, missing, restored } from './connection.js';
import { load, save } from './store.js';

/** An answer that is an error. `status` is that of HTTP. */
export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/** Nobody answered. The banner says so: nothing else has to. */
export class NoAnswer extends Error {}

let askForToken = null;
let asking = null;

/** Tells who asks for the token: gets whether one was refused, ends when there is a new one. */
export function onUnauthorized(handler) {
  askForToken = handler;
}

/** The header that shows the token; empty without one. */
export function authorization() {
  const token = load('token', false);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/** Keeps a token for as long as this tab lives. */
export function setToken(token) {
  save('token', token, false);
}

/** Whether there is a token. */
export function hasToken() {
  return load('token', false) !== null;
}

// Several requests may be refused at a time; one question is enough.
async function newToken(sent) {
  if (authorization().authorization !== sent) return;
  asking ??= askForToken(Boolean(sent)).finally(() => { asking = null; });
  await asking;
}

/** Fetches with the token; asks for it when the server does. Throws if nobody answers. */
export async function authorized(url, options = {}) {
  for (;;) {
    const shown = authorization();
    let answer;
    try {
      answer = await fetch(url, {
        cache: 'no-store', ...options, headers: { ...options.headers, ...shown },
      });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      missing();
      throw new NoAnswer(error.message);
    }
    restored();
    if (answer.status !== 401 || !askForToken) return answer;
    await newToken(shown.authorization);
    options.signal?.throwIfAborted();
  }
}

/** Opens a request of a library, with the token where this server is asked. */
export function authorize(request, url) {
  request.open('GET', url, true);
  if (new URL(url, location.href).origin !== location.origin) return;
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
}

/** The message of an error's answer. */
async function explain(answer) {
  const text = await answer.text().catch(() => '');
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `${answer.status} ${answer.statusText}`;
  }
}

async function request(method, path, { query, body, signal } = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== '' && value !== null && value !== undefined) search.set(key, value);
  }
  const answer = await authorized(`/api/v1${path}${search.size ? `?${search}` : ''}`, {
    method,
    signal,
    // An order is sent even if the page goes away.
    keepalive: method !== 'GET',
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw new ApiError(answer.status, await explain(answer));
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

export const api = {
  get: (path, query, signal) => request('GET', path, { query, signal }),
  post: (path, body) => request('POST', path, { body: body ?? {} }),
  put: (path, body) => request('PUT', path, { body }),
  remove: path => request('DELETE', path),
};

/** The name of a stream as a path: each part encoded, the slashes kept. */
export function encodeName(name) {
  return name.split('/').map(encodeURIComponent).join('/');
}

/** Events `problem` with the message of an answer that nobody expected. */
export const problems = new EventTarget();

function unexpected(error) {
  problems.dispatchEvent(new CustomEvent('problem', { detail: error.message }));
}

/**
 * Does `work(signal)` again and again until `signal` ends it: not while the page is hidden or
 * the server is away. Returns a function that does it at once. `failed` takes
 * an error of the server if it returns true.
 */
export function poll(work, milliseconds, signal, failed = () => false) {
  let timer = 0;
  let busy = false;
  let again = false;
  const run = async () => {
    clearTimeout(timer);
    if (signal.aborted || connection.lost || document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const began = performance.now();
    try {
      await work(signal);
    } catch (error) {
      if (error instanceof ApiError) {
        if (!signal.aborted && !failed(error)) unexpected(error);
      } else if (!(error instanceof NoAnswer) && error.name !== 'AbortError') console.error(error);
    }
    busy = false;
    if (signal.aborted) return;
    const rest = again ? 0 : Math.max(50, milliseconds - (performance.now() - began));
    again = false;
    timer = setTimeout(run, rest);
  };
  connection.on('back', run, { signal });
  document.addEventListener('visibilitychange', run, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
  run();
  return run;
}
