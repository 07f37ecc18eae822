// The named channels of a link, which both ends make with the same number and options: what they say
// to each other about it, on a channel of its own (docs/protocol.md).

import { Channel, type ChannelInit, type ChannelOptions, initOf } from "./channel.js";
import { HeliographError } from "./errors.js";

/** The numbers of the channels that every link has. */
export const RELIABLE_ID = 0;
export const LOSSY_ID = 1;
export const CONTROL_ID = 2;

/** The first number of a named channel for who has the even ones; the other begins one later. */
const NAMED_FROM = 4;

/** Numbers end here: Chromium has no more. */
const IDS_END = 1024;

/** The most named channels of a link. */
const NAMED_MAX = 64;

/** The longest label. */
const LABEL_LENGTH_MAX = 128;

/** What waits for the control channel to open: all channels opened and closed once. */
const WAITING_MAX = 2 * NAMED_MAX;

/** Control messages are short: longer ones aren't read. */
const TEXT_LENGTH_MAX = 4096;

/** For how long what was sent before a channel was closed there may still come. */
const LAST_MESSAGES_MS = 5000;

/** Said where both sides have opened a channel of the same label: the other one is used. */
const TWICE = "twice";

/** What a switchboard is told to do things with, and tells. */
export interface Board {
  /** Makes an end of a channel. */
  make(label: string, id: number, init: ChannelInit): RTCDataChannel;
  /** The most bytes of a message; `null` if it isn't known. */
  messageMax(): number | null;
  /** The other side has opened a channel. */
  opened(channel: Channel): void;
  /** The other side says where it sits now. */
  claimed(seat: string): void;
  /** The other side asks for another path to be looked for. */
  restarts(): void;
}

interface Line {
  id: number;
  channel: Channel;
  /**
   * `asked`: opened here, not yet there; `closing`: closed here, not yet there; `ending`: closed
   * there, but what was sent before may still come.
   */
  state: "asked" | "open" | "closing" | "ending";
  /** Ends it, if the connection doesn't. */
  timer?: ReturnType<typeof setTimeout>;
}

/** Opens and closes named channels. */
export class Switchboard {
  #control: RTCDataChannel;
  #isEven: boolean;
  #board: Board;
  #lines = new Map<number, Line>();
  #waiting: string[] = [];

  /** `isEven`: whether this side takes the even numbers. */
  constructor(control: RTCDataChannel, isEven: boolean, board: Board) {
    this.#control = control;
    this.#isEven = isEven;
    this.#board = board;
    control.onopen = () => this.#flush();
    control.onmessage = ({ data }) => this.#take(data);
  }

  /** The channel of this label: the one there is, or a new one. */
  open(label: string, options: ChannelOptions): Channel {
    const there = this.#named(label);
    if (there) return there.channel;
    if (label.length === 0 || label.length > LABEL_LENGTH_MAX) {
      const text = `A label has 1 to ${LABEL_LENGTH_MAX} characters.`;
      throw new HeliographError("bad_option", text);
    }
    const id = this.#freeId();
    const channel = new Channel(label, options, (closed) => this.#close(closed));
    const { init } = channel;
    this.#attach(channel, id, init);
    this.#lines.set(id, { id, channel, state: "asked" });
    const { ordered, maxRetransmits: max_retransmits } = init;
    const max_packet_life_time_ms = init.maxPacketLifeTime;
    this.#say({ open: { id, label, ordered, max_retransmits, max_packet_life_time_ms } });
    return channel;
  }

  /** Tells the other side where we sit now. */
  sit(seat: string): void {
    this.#say({ seat });
  }

  /** Asks the other side to look for another path. */
  askRestart(): void {
    this.#say({ restart: true });
  }

  /** All channels are closed, with the link. */
  end(): void {
    this.#control.onopen = this.#control.onmessage = null;
    for (const { channel, timer } of this.#lines.values()) {
      clearTimeout(timer);
      channel.ended();
    }
    this.#lines.clear();
  }

  #named(label: string): Line | undefined {
    return [...this.#lines.values()].find(
      ({ channel, state }) =>
        channel.label === label && channel.state !== "closed" && state !== "ending",
    );
  }

  #freeId(): number {
    let id = this.#isEven ? NAMED_FROM : NAMED_FROM + 1;
    while (this.#lines.has(id)) id += 2;
    if (id >= IDS_END || this.#lines.size >= NAMED_MAX) {
      const text = `A link has at most ${NAMED_MAX} channels: close one first.`;
      throw new HeliographError("too_many", text);
    }
    return id;
  }

  #attach(channel: Channel, id: number, init: ChannelInit): void {
    const rtc = this.#board.make(channel.label, id, init);
    channel.attach(rtc, init, () => this.#board.messageMax());
    // The connection closes an end behind the last message, before or after the other side says so.
    rtc.onclose = () => {
      channel.ended();
      if (this.#lines.get(id)?.state === "ending") this.#gone(id);
    };
  }

  #close(channel: Channel): void {
    const line = [...this.#lines.values()].find((one) => one.channel === channel);
    channel.ended();
    if (!line || line.state === "closing") return;
    if (line.state === "ending") return this.#gone(line.id);
    line.state = "closing";
    this.#say({ close: line.id });
  }

  #take(data: unknown): void {
    if (typeof data !== "string" || data.length > TEXT_LENGTH_MAX) return;
    const said = parse(data);
    if (!said) return;
    if (isOpening(said.open)) this.#opening(said.open);
    if (typeof said.opened === "number") this.#answered(said.opened);
    if (typeof said.refused === "number") this.#refused(said.refused);
    if (typeof said.close === "number") this.#closing(said.close);
    if (typeof said.closed === "number") this.#closed(said.closed);
    if (typeof said.seat === "string") this.#board.claimed(said.seat);
    if (said.restart === true) this.#board.restarts();
  }

  #opening(opening: Opening): void {
    const { id, label } = opening;
    const isTheirs = id >= NAMED_FROM && id < IDS_END && (id % 2 === 0) !== this.#isEven;
    if (!isTheirs || this.#lines.has(id)) return this.#say({ refused: id, text: "no free number" });
    const there = this.#named(label);
    // If both ask at once, the even number wins.
    if (there && (there.state === "open" || this.#isEven))
      return this.#say({ refused: id, text: TWICE });
    if (!there && this.#lines.size >= NAMED_MAX)
      return this.#say({ refused: id, text: "too many channels" });
    const options = optionsOf(opening);
    const channel = there?.channel ?? new Channel(label, options, (closed) => this.#close(closed));
    if (there) {
      this.#lines.delete(there.id);
      channel.detach()?.close();
    }
    this.#attach(channel, id, initOf(options));
    this.#lines.set(id, { id, channel, state: "open" });
    channel.answered();
    this.#say({ opened: id });
    if (!there) this.#board.opened(channel);
  }

  #answered(id: number): void {
    const line = this.#lines.get(id);
    if (line?.state !== "asked") return;
    line.state = "open";
    line.channel.answered();
  }

  #refused(id: number): void {
    const line = this.#lines.get(id);
    if (line?.state !== "asked") return;
    this.#lines.delete(id);
    line.channel.ended();
  }

  /** What is said of a channel may overtake what was sent over it. */
  #closing(id: number): void {
    const line = this.#lines.get(id);
    if (line?.state !== "open" || line.channel.state === "closed") return this.#gone(id);
    line.state = "ending";
    line.timer = setTimeout(() => this.#gone(id), LAST_MESSAGES_MS);
  }

  #gone(id: number): void {
    const line = this.#lines.get(id);
    clearTimeout(line?.timer);
    this.#lines.delete(id);
    line?.channel.ended();
    this.#say({ closed: id });
  }

  #closed(id: number): void {
    if (this.#lines.get(id)?.state === "closing") this.#lines.delete(id);
  }

  #say(what: object): void {
    const text = JSON.stringify(what);
    if (this.#control.readyState === "open") this.#control.send(text);
    else if (this.#waiting.length < WAITING_MAX) this.#waiting.push(text);
  }

  #flush(): void {
    for (const text of this.#waiting.splice(0)) this.#control.send(text);
  }
}

interface Opening {
  id: number;
  label: string;
  ordered?: boolean;
  max_retransmits?: number;
  max_packet_life_time_ms?: number;
}

function isOpening(value: unknown): value is Opening {
  if (typeof value !== "object" || value === null) return false;
  const { id, label } = value as Partial<Opening>;
  const hasLabel = typeof label === "string" && label.length <= LABEL_LENGTH_MAX;
  return hasLabel && Number.isInteger(id);
}

function optionsOf(opening: Opening): ChannelOptions {
  const { ordered = true, max_retransmits: maxRetransmits } = opening;
  const maxPacketLifeTimeMs = opening.max_packet_life_time_ms;
  if (Number.isInteger(maxPacketLifeTimeMs))
    return { ordered, maxPacketLifeTimeMs: maxPacketLifeTimeMs! };
  return Number.isInteger(maxRetransmits)
    ? { ordered, maxRetransmits: maxRetransmits! }
    : { ordered };
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const said: unknown = JSON.parse(text);
    return typeof said === "object" && said !== null ? (said as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
