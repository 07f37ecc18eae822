// Pauses between attempts: random ones, of which the longest possible doubles up to a limit, so that
// a crowd that has lost its server doesn't come back at once.

/** A growing, random pause in milliseconds. `random` gives numbers from 0 to 1. */
export class Backoff {
  constructor({ firstMs = 500, maxMs = 15_000, random = Math.random } = {}) {
    this.firstMs = firstMs;
    this.maxMs = maxMs;
    this.random = random;
    this.attempts = 0;
  }

  /** The next pause, not shorter than `leastMs`. */
  next(leastMs = 0) {
    const longest = Math.min(this.maxMs, this.firstMs * 2 ** Math.min(this.attempts, 16));
    this.attempts += 1;
    return leastMs + Math.round(longest * this.random());
  }

  /** Starts again with the first pause: it worked. */
  reset() {
    this.attempts = 0;
  }
}
