// The two counts of a session as its client has them: what has come, and what was asked
// (docs/protocol.md, Sessions).

import { HeliographError } from "./errors.js";

/** After how many frames they are acknowledged at once; the protocol asks for it. */
const ACK_EVERY = 32;

/** How many requests are kept for the server to acknowledge: what some dozen new links need. */
const KEPT_MAX = 1024;

/**
 * For how long a request that was carried out may still turn out to be refused, where the word of it
 * and the refusal come by different ways: after a resume, and over HTTP.
 */
const SETTLE_MS = 1000;

/** What a frame's number says: the next one, one that has come before, or others are missing. */
export type Turn = "next" | "again" | "gap";

/** The frames that have come. */
export class Came {
  #last: number;
  #told = 0;
  #bytes = 0;
  #bytesMax: number;

  /** Counts from frame `seq` on, which has come. `bytesMax` may wait to be acknowledged. */
  constructor(seq = 0, bytesMax = Infinity) {
    this.#last = seq;
    this.#bytesMax = bytesMax;
  }

  /** What a frame's number says. */
  take(seq: number, bytes: number): Turn {
    if (seq <= this.#last) return "again";
    if (seq > this.#last + 1) return "gap";
    this.#last = seq;
    this.#bytes += bytes;
    return "next";
  }

  /** The last number, which the server is told by this. */
  tell(): number {
    this.#told = this.#last;
    this.#bytes = 0;
    return this.#last;
  }

  /** Whether the server doesn't know of all of them. */
  get news(): boolean {
    return this.#told < this.#last;
  }

  /** Whether so much has come that it is to be told now. */
  get urgent(): boolean {
    return this.#last - this.#told >= ACK_EVERY || this.#bytes >= this.#bytesMax / 4;
  }
}

/** A request as it is sent. */
export interface Numbered {
  readonly type: string;
  readonly id: number;
  readonly [field: string]: unknown;
}

/** Who wants to know what becomes of a request. */
interface Waiter {
  resolve(): void;
  reject(error: HeliographError): void;
}

interface Entry {
  frame: Numbered;
  waiter: Waiter | null;
}

/** Our own numbered requests until the server says what became of them. */
export class Kept {
  #acked = 0;
  #entries: Entry[] = [];
  /** Carried out, but a refusal may still be on the way. */
  #unsettled: Entry[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Those that the server hasn't acknowledged. */
  get frames(): Numbered[] {
    return this.#entries.map(({ frame }) => frame);
  }

  /** Numbers a request and keeps it; `null` if too many are kept. */
  push(frame: { type: string }, waiter: Waiter | null = null): Numbered | null {
    if (this.#entries.length >= KEPT_MAX) return null;
    const numbered: Numbered = { ...frame, id: this.#acked + this.#entries.length + 1 };
    this.#entries.push({ frame: numbered, waiter });
    return numbered;
  }

  /**
   * Takes note that the requests up to this number were carried out. `isLast`: a refusal of them
   * would have come before.
   */
  ack(id: number, isLast: boolean): void {
    const count = Math.min(Math.max(0, id - this.#acked), this.#entries.length);
    const done = this.#entries.splice(0, count);
    this.#unsettled.push(...done.filter(({ waiter }) => waiter));
    this.#acked += count;
    if (isLast) this.#settle(id);
    else if (this.#unsettled.length > 0) this.#settleLater();
  }

  /** Takes note that a request was refused; `false` if nobody waits to know. */
  refuse(id: number, error: HeliographError): boolean {
    const entry = this.#waiting().find(({ frame }) => frame.id === id);
    this.#take(entry)?.reject(error);
    return entry !== undefined;
  }

  /** Something shows that the first request of this type that isn't settled was carried out. */
  confirm(type: string): void {
    this.#take(this.#waiting().find(({ frame }) => frame.type === type))?.resolve();
  }

  /** Settles nothing until the next word of the server: refusals may be missing. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** Nothing more will be heard of any of them. */
  fail(error: HeliographError): void {
    this.pause();
    for (const entry of this.#waiting()) this.#take(entry)?.reject(error);
    this.#entries = [];
  }

  #waiting(): Entry[] {
    return [...this.#unsettled, ...this.#entries].filter(({ waiter }) => waiter);
  }

  #take(entry: Entry | undefined): Waiter | null {
    if (!entry) return null;
    const { waiter } = entry;
    entry.waiter = null;
    this.#unsettled = this.#unsettled.filter((other) => other !== entry);
    return waiter;
  }

  #settle(id: number): void {
    for (const entry of this.#unsettled.filter(({ frame }) => frame.id <= id))
      this.#take(entry)?.resolve();
  }

  #settleLater(): void {
    clearTimeout(this.#timer);
    const id = this.#acked;
    this.#timer = setTimeout(() => this.#settle(id), SETTLE_MS);
  }
}
