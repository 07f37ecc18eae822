// A channel of a link: messages to one peer.

import { Emitter } from "./emitter.js";
import { HeliographError } from "./errors.js";

/** What can be sent: text, or bytes. */
export type Message = string | ArrayBuffer | ArrayBufferView;

/** How a channel treats its messages. */
export interface ChannelOptions {
  /** Late messages are dropped instead of sent again: `ordered: false, maxRetransmits: 0`. */
  lossy?: boolean;
  /** Whether messages arrive in the order of sending; `true` unless `lossy`. */
  ordered?: boolean;
  /** How often a message is sent again at most. */
  maxRetransmits?: number;
  /** For how many milliseconds a message is sent again. */
  maxPacketLifeTimeMs?: number;
  /**
   * How many bytes may wait to be sent. Beyond that a reliable channel refuses messages (`full`), and
   * a lossy one drops them. Without it 1 MiB, and 16 KiB if lossy: newer state will come soon enough.
   */
  bufferedMax?: number;
}

/** What a channel tells. */
export interface ChannelEvents {
  /** A message has come. Those before the first listener wait for it. */
  message: string | Uint8Array;
  /** Messages reach the other side from now on. */
  open: undefined;
  /** The channel is closed. */
  close: undefined;
  /** Less than a quarter of what may wait waits to be sent. */
  drained: undefined;
}

/** What has become of a channel. */
export type ChannelState = "connecting" | "open" | "closed";

/** How a channel is made on both ends. */
export interface ChannelInit {
  ordered: boolean;
  maxRetransmits?: number;
  maxPacketLifeTime?: number;
}

/** The most bytes that wait for a reliable channel to open. */
const WAITING_BYTES_MAX = 256 * 1024;

const RELIABLE_BUFFERED_MAX = 1024 * 1024;
const LOSSY_BUFFERED_MAX = 16 * 1024;

/** The largest message where the other side doesn't say. */
const MESSAGE_BYTES_MAX = 64 * 1024;

const encoder = new TextEncoder();

/** How both ends make a channel with these options. */
export function initOf(options: ChannelOptions): ChannelInit {
  const { lossy = false, ordered = !lossy, maxRetransmits, maxPacketLifeTimeMs } = options;
  if (maxRetransmits !== undefined && maxPacketLifeTimeMs !== undefined) {
    const text = "A channel has maxRetransmits or maxPacketLifeTimeMs, not both: leave one out.";
    throw new HeliographError("bad_option", text);
  }
  if (maxPacketLifeTimeMs !== undefined) return { ordered, maxPacketLifeTime: maxPacketLifeTimeMs };
  const retransmits = maxRetransmits ?? (lossy ? 0 : undefined);
  return retransmits === undefined ? { ordered } : { ordered, maxRetransmits: retransmits };
}

/** Messages to one peer, as text or bytes. */
export class Channel extends Emitter<ChannelEvents> {
  /** What both sides call it. */
  readonly label: string;
  #init: ChannelInit;
  #bufferedMax: number;
  #rtc: RTCDataChannel | null = null;
  /** The link's limit for messages, once there is one. */
  #messageMax: () => number | null = () => null;
  /** Whether the other side has made its end. */
  #isAnswered = false;
  #isClosed = false;
  #waiting: Message[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #onClose: (channel: Channel) => void;

  /** Made by the SDK: see `Peer.channel`. */
  constructor(label: string, options: ChannelOptions, onClose: (channel: Channel) => void) {
    super(["message"]);
    this.label = label;
    this.#init = initOf(options);
    const byKind = this.isLossy ? LOSSY_BUFFERED_MAX : RELIABLE_BUFFERED_MAX;
    this.#bufferedMax = options.bufferedMax ?? byKind;
    this.#onClose = onClose;
  }

  /** How it is made on both ends. */
  get init(): ChannelInit {
    return this.#init;
  }

  /** Whether messages may be lost. */
  get isLossy(): boolean {
    return this.#init.maxRetransmits !== undefined || this.#init.maxPacketLifeTime !== undefined;
  }

  /** Whether messages arrive in the order of sending. */
  get isOrdered(): boolean {
    return this.#init.ordered;
  }

  /** Whether messages reach the other side. */
  get state(): ChannelState {
    if (this.#isClosed) return "closed";
    return this.#isAnswered && this.#rtc?.readyState === "open" ? "open" : "connecting";
  }

  /** How many bytes wait to be sent. */
  get bufferedAmount(): number {
    return this.#waitingBytes + (this.#rtc?.bufferedAmount ?? 0);
  }

  /** How many messages a lossy channel has dropped before they were sent. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The largest message, in bytes. */
  get messageBytesMax(): number {
    return this.#messageMax() ?? MESSAGE_BYTES_MAX;
  }

  /**
   * Sends a message. What is sent on a reliable channel that isn't open yet waits, 256 KiB at most. A
   * lossy one drops what it can't send now: then the result is `false`.
   *
   * Throws a `HeliographError`: `closed`; `too_large` with the limit; `full` if too much waits, after
   * which `drained()` says when there is room.
   */
  send(message: Message): boolean {
    if (this.#isClosed) throw closed();
    const bytes = typeof message === "string" ? encoder.encode(message).length : message.byteLength;
    const limit = this.messageBytesMax;
    if (bytes > limit) {
      const text = `The message has ${bytes} bytes, this link takes ${limit}: send it in parts.`;
      throw new HeliographError("too_large", text, { limit });
    }
    const isOpen = this.state === "open";
    const room = isOpen ? this.#bufferedMax : WAITING_BYTES_MAX;
    const isFull = this.bufferedAmount > 0 && this.bufferedAmount + bytes > room;
    if (this.isLossy && (isFull || !isOpen)) {
      this.#dropped += 1;
      return false;
    }
    if (isFull) {
      const text = `More than ${room} bytes wait to be sent: await drained(), then send again.`;
      throw new HeliographError("full", text, { limit: room, retry: true });
    }
    if (isOpen) this.#rtc?.send(message as string);
    else this.#keep(message, bytes);
    return true;
  }

  /** Resolves once there is room for more: less than a quarter of what may wait does. */
  drained(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed());
    if (this.state === "open" && this.bufferedAmount <= this.#low) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const ends = [
        this.on("drained", () => settle(resolve)),
        this.on("close", () => settle(() => reject(closed()))),
      ];
      const settle = (how: () => void) => {
        for (const end of ends) end();
        how();
      };
    });
  }

  /** Closes both ends. */
  close(): void {
    if (!this.#isClosed) this.#onClose(this);
  }

  get #low(): number {
    return this.#bufferedMax / 4;
  }

  /** What is sent later stays as it is now. */
  #keep(message: Message, bytes: number): void {
    this.#waiting.push(typeof message === "string" ? message : copy(message));
    this.#waitingBytes += bytes;
  }

  /**
   * Sends and receives by this end, as it is made with `init`.
   *
   * @internal
   */
  attach(rtc: RTCDataChannel, init: ChannelInit, messageMax: () => number | null): void {
    this.detach();
    this.#init = init;
    this.#rtc = rtc;
    this.#messageMax = messageMax;
    rtc.binaryType = "arraybuffer";
    rtc.bufferedAmountLowThreshold = this.#low;
    rtc.onopen = () => this.#opened();
    rtc.onbufferedamountlow = () => this.emit("drained", undefined);
    rtc.onmessage = ({ data }) =>
      this.emit("message", typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
  }

  /**
   * The other side has made its end.
   *
   * @internal
   */
  answered(): void {
    this.#isAnswered = true;
    this.#opened();
  }

  /**
   * Lets its end go: another one may follow.
   *
   * @internal
   */
  detach(): RTCDataChannel | null {
    const rtc = this.#rtc;
    this.#rtc = null;
    this.#isAnswered = false;
    if (rtc) rtc.onopen = rtc.onclose = rtc.onmessage = rtc.onbufferedamountlow = null;
    return rtc;
  }

  /**
   * Takes note that it is closed.
   *
   * @internal
   */
  ended(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.detach()?.close();
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.emit("close", undefined);
  }

  #opened(): void {
    if (this.state !== "open") return;
    const waiting = this.#waiting.splice(0);
    this.#waitingBytes = 0;
    for (const message of waiting) this.#rtc?.send(message as string);
    this.emit("open", undefined);
    if (this.bufferedAmount <= this.#low) this.emit("drained", undefined);
  }
}

function copy(bytes: ArrayBuffer | ArrayBufferView): ArrayBuffer {
  const view = ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
  return view.slice().buffer;
}

function closed(): HeliographError {
  return new HeliographError(
    "closed",
    "The channel is closed: open another one with peer.channel().",
  );
}
