// Pauses between attempts: they double up to a limit, and a random part keeps a crowd from coming
// back at once.

/** A growing, jittered pause in milliseconds. `random` gives numbers from 0 to 1. */
export class Backoff {
  constructor({ firstMs = 500, maxMs = 15_000, random = Math.random } = {}) {
    this.firstMs = firstMs;
    this.maxMs = maxMs;
    this.random = random;
    this.attempts = 0;
  }

  /** The next pause: between half of the step and the whole step. */
  next() {
    const step = Math.min(this.maxMs, this.firstMs * 2 ** Math.min(this.attempts, 16));
    this.attempts += 1;
    return Math.round(step * (0.5 + this.random() / 2));
  }

  /** Starts again with the first pause: it worked. */
  reset() {
    this.attempts = 0;
  }
}
