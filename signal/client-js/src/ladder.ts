// Which transport to use where some are blocked.

import type { TransportName } from "./transport.js";

/** After how many failures in a row another transport may be tried. */
const FAILURES_MAX = 2;

/** For how long a transport that was found to be blocked isn't tried again. */
const BLOCKED_MS = 60_000;

/** Which transport to use: the first, unless it is blocked; then the next. */
export class Ladder {
  #names: readonly TransportName[];
  #rung = 0;
  #failures = 0;
  #steppedAt = 0;

  constructor(names: readonly TransportName[]) {
    this.#names = names;
  }

  /** The one to use. */
  get current(): TransportName {
    return this.#names[this.#rung] ?? "websocket";
  }

  /** Whether it may be blocked: it has failed again and again. */
  get doubtful(): boolean {
    return this.#failures >= FAILURES_MAX && this.#names.length > 1;
  }

  /** It works. */
  worked(): void {
    this.#failures = 0;
  }

  /** It couldn't be opened. */
  failed(): void {
    this.#failures += 1;
  }

  /** Goes on to the next one, and from the last one to the first. */
  step(now: number): void {
    this.#rung = (this.#rung + 1) % this.#names.length;
    this.#failures = 0;
    this.#steppedAt = now;
  }

  /** After a connection that worked: the first one may not be blocked any more. */
  lookUp(now: number): void {
    if (this.#rung === 0 || now - this.#steppedAt < BLOCKED_MS) return;
    this.#rung = 0;
    // It has one attempt.
    this.#failures = FAILURES_MAX - 1;
  }
}
