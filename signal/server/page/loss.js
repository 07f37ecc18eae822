// What the sequence numbers of a lossy channel tell: what came, what is missing, what was late.

/**
 * How many numbers behind the newest a packet may still be on its way: only then does a hole count
 * as a loss.
 */
export const REORDER_MAX = 8;

/** Over how many of the newest numbers the loss is measured: 10 s at 60 Hz. */
export const WINDOW = 600;

/** A jump this far, either way, is a sender that started again. */
const RESTART = 10 * WINDOW;

/** Counts losses by sequence number. Its memory is one byte for each number of the window. */
export class LossCounter {
  constructor() {
    this.received = 0;
    this.lost = 0;
    this.duplicates = 0;
    this.late = 0;
    this.#start(null);
  }

  /**
   * Takes the number of a packet that has arrived.
   *
   * Returns how many numbers were skipped just before it (0 for the next in line), or `null` if the
   * packet is not the newest: it was late or a duplicate, and its content is out of date.
   */
  push(n) {
    if (this.newest === null || Math.abs(n - this.newest) > RESTART) {
      this.#start(n);
      this.received += 1;
      return 0;
    }
    if (n <= this.newest) {
      this.#fill(n);
      return null;
    }
    const skipped = n - this.newest - 1;
    for (let i = this.newest + 1; i <= n; i += 1) this.#advance(i);
    this.seen[n % WINDOW] = 1;
    this.newest = n;
    this.received += 1;
    return skipped;
  }

  /**
   * The share of lost packets among the newest that have been decided, 0 to 1; `null` before there
   * are any.
   */
  get share() {
    if (this.newest === null) return null;
    const last = this.newest - REORDER_MAX;
    const first = Math.max(this.first, this.newest - WINDOW + 1);
    if (last < first) return null;
    let missing = 0;
    for (let i = first; i <= last; i += 1) missing += 1 - this.seen[i % WINDOW];
    return missing / (last - first + 1);
  }

  #start(n) {
    this.first = n;
    this.newest = n;
    this.seen = new Uint8Array(WINDOW);
    if (n !== null) this.seen[n % WINDOW] = 1;
  }

  /** Opens the place of number `i`, and decides about the one that can't come any more. */
  #advance(i) {
    this.seen[i % WINDOW] = 0;
    const decided = i - REORDER_MAX;
    if (decided > this.first && !this.seen[decided % WINDOW]) this.lost += 1;
  }

  #fill(n) {
    const recent = n > this.newest - WINDOW && n >= this.first;
    if (recent && this.seen[n % WINDOW]) {
      this.duplicates += 1;
      return;
    }
    this.late += 1;
    this.received += 1;
    if (!recent) return;
    this.seen[n % WINDOW] = 1;
    if (n <= this.newest - REORDER_MAX && this.lost > 0) this.lost -= 1;
  }
}

/** How many packets came, and how many numbers were skipped, in each slice of the last seconds. */
export class Arrivals {
  constructor({ slices = 60, sliceMs = 100 } = {}) {
    this.slices = slices;
    this.sliceMs = sliceMs;
    this.came = new Uint16Array(slices);
    this.missed = new Uint16Array(slices);
    this.slice = null;
  }

  /** Counts one arrival at `now` (milliseconds) and the `skipped` numbers before it. */
  push(now, skipped = 0) {
    this.#advance(now);
    const at = this.slice % this.slices;
    this.came[at] += 1;
    this.missed[at] = Math.min(65_535, this.missed[at] + skipped);
  }

  /** The slices from the oldest to the one before the running one, each `{ came, missed }`. */
  read(now) {
    this.#advance(now);
    return Array.from({ length: this.slices - 1 }, (_, i) => {
      const at = (this.slice + 1 + i) % this.slices;
      return { came: this.came[at], missed: this.missed[at] };
    });
  }

  /** Packets per second over the last second of whole slices. */
  rate(now) {
    const second = Math.max(1, Math.round(1000 / this.sliceMs));
    const came = this.read(now)
      .slice(-second)
      .reduce((sum, slice) => sum + slice.came, 0);
    return (came * 1000) / (second * this.sliceMs);
  }

  #advance(now) {
    const slice = Math.floor(now / this.sliceMs);
    if (this.slice === null) this.slice = slice;
    const from = Math.max(this.slice + 1, slice - this.slices + 1);
    for (let i = from; i <= slice; i += 1) {
      this.came[i % this.slices] = 0;
      this.missed[i % this.slices] = 0;
    }
    this.slice = Math.max(this.slice, slice);
  }
}
