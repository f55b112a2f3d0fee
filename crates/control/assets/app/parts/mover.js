// Tells a camera how to move. Orders go one after the other, so that none overtakes the one
// before; of those that come meanwhile, only the newest counts.
import { t } from '../i18n.js';

const still = { pan: 0, tilt: 0, zoom: 0 };
// A camera that was not told to stop goes on: it is told again for as long.
const TRIES = 20;
const PAUSE = 500;

const moves = ({ pan, tilt, zoom }) => pan !== 0 || tilt !== 0 || zoom !== 0;
const same = (a, b) => a === b || (!moves(a) && !moves(b))
  || ['pan', 'tilt', 'zoom', 'speed'].every(key => a[key] === b[key]);

/**
 * Moves a camera by `send(order)`; `failed` hears why an order was not taken, and nothing once
 * one was.
 */
export class Mover {
  #send;
  #failed;
  #wanted = still;
  #told = still;
  #busy = false;

  constructor(send, failed) {
    this.#send = send;
    this.#failed = failed;
  }

  /** Goes on in this way. */
  move(way) {
    this.#wanted = way;
    this.#run();
  }

  /** Goes no further. `anyhow` says so even if the camera was not told to move from here. */
  stop(anyhow = false) {
    this.#wanted = still;
    if (anyhow && !this.#busy) this.#told = null;
    this.#run();
  }

  /** Sends the last word of a page that goes away; no answer is waited for. */
  leave() {
    const moving = this.#busy || moves(this.#told ?? still);
    this.#wanted = still;
    if (moving) this.#send({ action: 'stop' }).catch(() => {});
  }

  async #run() {
    if (this.#busy) return;
    this.#busy = true;
    let failures = 0;
    while (this.#told === null || !same(this.#wanted, this.#told)) {
      const now = this.#wanted;
      try {
        await this.#send(moves(now) ? { action: 'move', ...now } : { action: 'stop' });
        [this.#told, failures] = [now, 0];
        this.#failed('');
      } catch (error) {
        failures += 1;
        this.#failed(error.status ? error.message : t('connection.lost'));
        const refused = error.status && error.status < 500;
        // Without an answer it may be on its way.
        this.#told = refused || failures >= TRIES ? still : moves(now) ? now : this.#told;
        if (this.#wanted === now) this.#wanted = still;
        if (!refused) await new Promise(resolve => { setTimeout(resolve, PAUSE); });
      }
    }
    this.#busy = false;
  }
}
