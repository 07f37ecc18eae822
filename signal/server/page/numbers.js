// The two counts of a session as its client has them: what has come, and what was sent
// (docs/protocol.md, Sessions).

/** After how many frames they are acknowledged at once; the protocol asks for it. */
const ACK_EVERY = 32;

/** How many signals are kept for the server to acknowledge: what a dozen new links need at once. */
const KEPT_MAX = 256;

/** The frames that have come. */
export class Came {
  /** Counts from frame `seq` on, which has come. `bytesMax` may wait to be acknowledged. */
  constructor(seq = 0, bytesMax = Infinity) {
    this.last = seq;
    this.told = 0;
    this.bytes = 0;
    this.bytesMax = bytesMax;
  }

  /** What a frame's number says: `next`, `again`, or `gap` if others before it are missing. */
  take(seq, bytes) {
    if (seq <= this.last) return "again";
    if (seq > this.last + 1) return "gap";
    this.last = seq;
    this.bytes += bytes;
    return "next";
  }

  /** The last number, which the server is told by this. */
  tell() {
    this.told = this.last;
    this.bytes = 0;
    return this.last;
  }

  /** Whether the server doesn't know of all of them. */
  get news() {
    return this.told < this.last;
  }

  /** Whether so much has come that it is to be told now. */
  get urgent() {
    return this.last - this.told >= ACK_EVERY || this.bytes >= this.bytesMax / 4;
  }
}

/** Our own signals that the server hasn't acknowledged. */
export class Kept {
  constructor() {
    this.acked = 0;
    this.frames = [];
  }

  /** Numbers a frame and keeps it; `null` if too many are kept. */
  push(frame) {
    if (this.frames.length >= KEPT_MAX) return null;
    const numbered = { ...frame, id: this.acked + this.frames.length + 1 };
    this.frames.push(numbered);
    return numbered;
  }

  /** Forgets the frames up to this number. */
  ack(id) {
    const count = Math.min(Math.max(0, id - this.acked), this.frames.length);
    this.frames.splice(0, count);
    this.acked += count;
  }
}
