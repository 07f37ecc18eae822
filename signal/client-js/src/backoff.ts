// Pauses between attempts: random ones, of which the longest possible doubles up to a limit, so that
// a crowd that has lost its server doesn't come back at once.

/** What a `Backoff` may be told. */
export interface BackoffOptions {
  /** The longest first pause. */
  firstMs?: number;
  /** The longest pause at all. */
  maxMs?: number;
  /** Gives numbers from 0 to 1. */
  random?: () => number;
}

/** A growing, random pause in milliseconds. */
export class Backoff {
  #firstMs: number;
  #maxMs: number;
  #random: () => number;
  #attempts = 0;

  constructor({ firstMs = 500, maxMs = 15_000, random = Math.random }: BackoffOptions = {}) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** The next pause, not shorter than `leastMs`. */
  next(leastMs = 0): number {
    const longest = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#attempts, 16));
    this.#attempts += 1;
    return leastMs + Math.round(longest * this.#random());
  }

  /** Starts again with the first pause: it worked. */
  reset(): void {
    this.#attempts = 0;
  }
}
