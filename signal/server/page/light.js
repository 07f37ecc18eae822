// What one light left behind: its trail, its losses, its arrivals, and its twin on an ordered
// channel.

import { Arrivals, LossCounter } from "./loss.js";
import { OrderedTwin } from "./twin.js";

/** Points of a trail: 2.5 s at 60 Hz. */
const TRAIL_MAX = 150;

/**
 * Marks for lost packets in one gap; a longer gap is drawn with fewer marks than it had packets.
 */
const GAP_MARKS_MAX = 12;

/** The motion of one member as it arrived here. */
export class Light {
  constructor() {
    this.trail = [];
    this.position = null;
    this.loss = new LossCounter();
    this.arrivals = new Arrivals();
    this.twin = new OrderedTwin();
    this.flashes = [];
  }

  /** Takes a position that arrived at `now` over a path with this round trip. */
  push(now, motion, rttMs) {
    const skipped = this.loss.push(motion.n);
    if (skipped === null) return; // Late: newer state is here already.
    this.arrivals.push(now, skipped);
    const position = { x: motion.x, y: motion.y };
    if (this.position) this.#markGap(now, this.position, position, skipped);
    this.#append({ at: now, lost: false, ...position });
    this.twin.push(now, position, skipped, rttMs);
    this.position = position;
  }

  /** Shines at these times, given as `[from, to]` after `now`. */
  flash(now, times) {
    this.flashes = times.map(([from, to]) => [now + from, now + to]);
  }

  /** Whether the mirror shines for a message at `now`. */
  shines(now) {
    return this.flashes.some(([from, to]) => now >= from && now < to);
  }

  #markGap(now, from, to, skipped) {
    const marks = Math.min(skipped, GAP_MARKS_MAX);
    for (let i = 1; i <= marks; i += 1) {
      const share = i / (marks + 1);
      const at = { x: from.x + (to.x - from.x) * share, y: from.y + (to.y - from.y) * share };
      this.#append({ at: now, lost: true, ...at });
    }
  }

  #append(point) {
    const last = this.trail.at(-1);
    if (last && !point.lost && !last.lost && last.x === point.x && last.y === point.y) {
      last.at = point.at; // At rest: one point is enough.
      return;
    }
    if (this.trail.length === TRAIL_MAX) this.trail.shift();
    this.trail.push(point);
  }
}
