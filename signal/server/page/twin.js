// Where a light would be if its packets had to arrive in order: the cost of a reliable channel,
// computed, not sent.

/** How many positions may wait; with more, the oldest are let go. */
const WAITING_MAX = 600;

/**
 * A sender notices a loss when three later packets were acknowledged (RFC 9260 §7.2.4, fast
 * retransmit).
 */
const LATER_PACKETS = 3;

/**
 * Replays one stream of positions as an ordered, reliable channel would have delivered it: a lost
 * packet holds up all that follow until it was sent again.
 */
export class OrderedTwin {
  constructor({ intervalMs = 1000 / 60 } = {}) {
    this.intervalMs = intervalMs;
    this.waiting = [];
    this.position = null;
    this.freeAt = 0;
    this.stalledMs = 0;
  }

  /**
   * Takes a position that came at `now` after `skipped` lost packets, on a path with this round
   * trip.
   */
  push(now, position, skipped, rttMs) {
    if (skipped > 0) {
      const again = now + LATER_PACKETS * this.intervalMs + rttMs;
      this.stalledMs += Math.max(0, again - Math.max(now, this.freeAt));
      this.freeAt = Math.max(this.freeAt, again);
    }
    if (this.waiting.length === WAITING_MAX) this.position = this.waiting.shift().position;
    this.waiting.push({ at: Math.max(now, this.freeAt), position });
  }

  /** The newest position that would have been delivered by `now`; `null` before the first. */
  read(now) {
    let due = 0;
    while (due < this.waiting.length && this.waiting[due].at <= now) due += 1;
    if (due > 0) this.position = this.waiting[due - 1].position;
    this.waiting.splice(0, due);
    return this.position;
  }
}
