// The two counts of a session as its client has them: what has come, and what was asked
// (docs/protocol.md, Sessions).

import { HeliographError } from "./errors.js";

/** After how many frames they are acknowledged at once; the protocol asks for it. */
const ACK_EVERY = 32;

/** How many requests are kept for the server to acknowledge: what some dozen new links need. */
const KEPT_MAX = 1024;

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
  /** Need not be sent again, but what came of them isn't known. */
  #spared: Entry[] = [];

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

  /** Takes note that the requests up to this number need not be sent again. */
  spare(id: number): void {
    const count = Math.min(Math.max(0, id - this.#acked), this.#entries.length);
    this.#spared.push(...this.#entries.splice(0, count).filter(({ waiter }) => waiter));
    this.#acked += count;
  }

  /** Takes note that the requests up to this number were carried out: refusals came before. */
  ack(id: number): void {
    this.spare(id);
    const isDone = ({ frame }: Entry) => frame.id <= id;
    for (const entry of this.#spared.filter(isDone)) this.#take(entry)?.resolve();
  }

  /** Takes note that a request was refused; `false` if nobody waits to know. */
  refuse(id: number, error: HeliographError): boolean {
    const entry = this.#waiting().find(({ frame }) => frame.id === id);
    this.#take(entry)?.reject(error);
    return entry !== undefined;
  }

  /** Nothing more will be heard of any of them. */
  fail(error: HeliographError): void {
    for (const entry of this.#waiting()) this.#take(entry)?.reject(error);
    this.#entries = [];
  }

  #waiting(): Entry[] {
    return [...this.#spared, ...this.#entries].filter(({ waiter }) => waiter);
  }

  #take(entry: Entry | undefined): Waiter | null {
    if (!entry) return null;
    const { waiter } = entry;
    entry.waiter = null;
    this.#spared = this.#spared.filter((other) => other !== entry);
    return waiter;
  }
}
