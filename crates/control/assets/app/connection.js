// Knows whether the server can be reached, and tries to reach it again when it cannot.

const target = new EventTarget();
let lost = false;
let wait = 0;
let timer = 0;

/** Events `lost` and `back`. */
export const connection = {
  get lost() { return lost; },
  on(name, listener, options) { target.addEventListener(name, listener, options); },
};

async function probe() {
  timer = 0;
  try {
    // Any answer will do, a refusal too: somebody is there.
    await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
    restored();
  } catch {
    wait = Math.min(wait * 2, 10_000);
    timer = setTimeout(probe, wait);
  }
}

/** Reports that a request got no answer. */
export function missing() {
  if (lost) return;
  lost = true;
  wait = 500;
  timer = setTimeout(probe, wait);
  target.dispatchEvent(new Event('lost'));
}

/** Reports that a request got an answer. */
export function restored() {
  if (!lost) return;
  lost = false;
  clearTimeout(timer);
  target.dispatchEvent(new Event('back'));
}

/** Tries at once, because somebody asks for it or the machine woke up. */
export function retry() {
  if (!lost) return;
  clearTimeout(timer);
  wait = 500;
  probe();
}

addEventListener('online', retry);
document.addEventListener('visibilitychange', () => { if (!document.hidden) retry(); });
