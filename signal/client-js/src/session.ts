// A seat in a room: a session with the signaling server over one connection after another, protocol
// version 1 (docs/protocol.md).

import { Backoff } from "./backoff.js";
import { Calls } from "./calls.js";
import { type Connection, mayReconnect } from "./connection.js";
import { Emitter } from "./emitter.js";
import { Endpoint } from "./endpoint.js";
import { HeliographError, closeText, refusal } from "./errors.js";
import {
  type ErrorFrame,
  type JsonObject,
  type RoomFrame,
  type ServerFrame,
  type WelcomeFrame,
  isPresence,
  isRoomFrame,
  readFrame,
} from "./frames.js";
import { Ladder } from "./ladder.js";
import { Came, Kept } from "./numbers.js";
import { TokenKeeper, type TokenSource } from "./token.js";
import {
  type Carried,
  type Cursor,
  type Frame,
  GIVEN_UP,
  LEFT,
  type OpenTransport,
  TRANSPORTS,
  type Transport,
  type TransportName,
} from "./transport.js";
import { sayGoodbye } from "./transports/http.js";
import { openTransport } from "./transports/open.js";

const ANSWER_TIMEOUT_MS = 10_000;

/** When a frame is acknowledged at the latest: half of what the protocol asks for. */
const ACK_DELAY_MS = 1000;

/** How long a connection must hold before the next reconnect starts with a short pause again. */
const STABLE_MS = 10_000;

/** How long the server may take to answer after the network has changed. */
const NETWORK_MS = 3000;

/** No server may ask for a longer pause. */
const PAUSE_MS_MAX = 3_600_000;

/** The largest frame, where the server doesn't say; and what the numbers in it may take of that. */
const FRAME_BYTES_MAX = 65_536;
const NUMBERS_BYTES = 64;

/** The close code of a session whose token has expired: it goes on with a new one. */
const EXPIRED = 4102;

/** Refusals that say that the server has lost track of us on this connection. */
const LOST_TRACK = ["hello_first", "out_of_order"];

/** Refusals that say only that somebody has left meanwhile. */
const NOBODYS_FAULT = ["no_such_peer", "undelivered"];

/** What a session asks for. */
export interface SessionOptions {
  endpoint: Endpoint;
  room: string;
  metadata?: JsonObject | undefined;
  token?: TokenSource | undefined;
  password?: string | undefined;
  create?: object | undefined;
  after?: number | undefined;
  transports?: readonly TransportName[] | undefined;
  backoff?: Backoff | undefined;
  open?: OpenTransport | undefined;
}

/** What a session tells. */
export interface SessionEvents {
  /** The connection to the server. */
  connection: Connection;
  /** A seat: the first, or a new one. */
  welcome: WelcomeFrame;
  /** The same seat, but what is known of the room is to be replaced. */
  resync: WelcomeFrame;
  /** What happens in the room, once each. */
  frame: RoomFrame;
  /** A request was refused about which nobody waits to know. */
  refused: HeliographError;
  /** The network has changed. */
  network: undefined;
}

type TimerName = "retry" | "answer" | "stable" | "liveness" | "ack" | "move";

/**
 * Holds a seat in one room. A lost connection is taken up again and nothing is lost; what the server
 * then doesn't know of any more is joined anew.
 */
export class Session extends Emitter<SessionEvents> {
  /** What there is to say about the connection. */
  connection: Connection = { name: "connecting" };
  /** The seat; `null` if there is none. */
  seat: WelcomeFrame | null = null;
  /** What the others are told when the next seat is asked for. */
  metadata: JsonObject | undefined;
  /** Whether the server takes reports of links. */
  takesReports = true;
  /** The last broadcast that has come, where the room keeps them. */
  after: number | undefined;
  #options: SessionOptions;
  /** Where the server is, and where it was at first if it has sent us elsewhere. */
  #endpoints: Endpoint[];
  #open: OpenTransport;
  #backoff: Backoff;
  #ladder: Ladder;
  #token: TokenKeeper;
  #calls = new Calls();
  #came = new Came();
  #kept = new Kept();
  #transport: Transport | null = null;
  /** Counts the attempts to connect, so that an old one changes nothing. */
  #turn = 0;
  /** By what the next seat is asked for, however often. */
  #once = random();
  /** How often it has asked for a session again. */
  #attempt = 0;
  #timers = new Map<TimerName, ReturnType<typeof setTimeout>>();

  /** A session that does nothing until `start`. */
  constructor(options: SessionOptions) {
    super();
    this.#options = options;
    this.#endpoints = [options.endpoint];
    this.metadata = options.metadata;
    this.after = options.after;
    this.#open = options.open ?? openTransport;
    this.#backoff = options.backoff ?? new Backoff();
    this.#ladder = new Ladder(options.transports ?? TRANSPORTS);
    this.#token = new TokenKeeper(options.token, {
      show: (token) => this.call({ type: "token", token }),
      failed: (error) => this.emit("refused", error),
    });
  }

  /** Where the server is. */
  get endpoint(): Endpoint {
    return this.#endpoints[0] ?? this.#options.endpoint;
  }

  /** Whether requests reach the server at once. */
  get isOnline(): boolean {
    return this.connection.name === "online";
  }

  /** Whether it is over. */
  get isEnded(): boolean {
    return this.connection.name === "ended";
  }

  /** Opens the connection; also after it has ended, for another seat. */
  start(): void {
    globalThis.addEventListener?.("online", this.#networkChanged);
    navigatorConnection()?.addEventListener?.("change", this.#networkChanged);
    void this.#connect();
  }

  /**
   * Sends a numbered request, now or once there is a connection again; `false` if it will not be
   * sent. Nobody is told what becomes of it.
   */
  post(frame: Frame): boolean {
    if (!this.seat || this.isEnded || !this.#fits(frame)) return false;
    const numbered = this.#kept.push(frame);
    if (numbered && this.isOnline) this.#send(numbered);
    return numbered !== null;
  }

  /** The same, but resolves once the server has carried it out. */
  request(frame: Frame): Promise<void> {
    return new Promise((resolve, reject) => {
      if (!this.seat || this.isEnded) return reject(this.#offline());
      if (!this.#fits(frame)) return reject(this.#tooLarge());
      const numbered = this.#kept.push(frame, { resolve, reject });
      if (!numbered)
        return reject(
          new HeliographError("full", "Too many requests wait for the server: wait for some."),
        );
      if (this.isOnline) this.#send(numbered);
    });
  }

  /** Whether the server takes a frame of this size: a larger one would end the session. */
  #fits(frame: Frame): boolean {
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
    return bytes + NUMBERS_BYTES <= this.#frameMax;
  }

  get #frameMax(): number {
    return this.seat?.limits?.frame_bytes_max ?? FRAME_BYTES_MAX;
  }

  #tooLarge(): HeliographError {
    const limit = this.#frameMax;
    const text = `The server takes ${limit} bytes at once: send less, or over a channel.`;
    return new HeliographError("too_large", text, { limit });
  }

  /** Asks something that has an answer of its own; there must be a connection. */
  call<Answer>(frame: Frame): Promise<Answer> {
    if (!this.isOnline) return Promise.reject(this.#offline());
    const { id, answer } = this.#calls.open();
    this.#send({ ...frame, id });
    return answer as Promise<Answer>;
  }

  /** Tells something that isn't worth keeping; `false` if there is no connection. */
  tell(frame: Frame): boolean {
    if (this.isOnline) this.#send(frame);
    return this.isOnline;
  }

  /** Shows this token from now on; resolves once the server has taken it, at once if offline. */
  setToken(source: TokenSource): Promise<void> {
    return this.#token.replace(source, this.isOnline);
  }

  /** Ends a pause before a reconnect. */
  retryNow(): void {
    if (this.connection.name === "waiting") void this.#connect();
  }

  /** Gives the seat back, even if the page ends now. Nothing happens afterwards. */
  close(): void {
    this.#leave();
    this.#end(LEFT, closeText(LEFT, ""), null);
  }

  #leave(): void {
    const news = this.#came.news ? { ack: this.#came.tell() } : {};
    const leave = { type: "leave", ...news };
    const cursor = this.#cursor();
    if (this.isOnline) {
      this.#transport?.leave([leave]);
      this.#transport = null;
    } else if (cursor && !this.isEnded) {
      sayGoodbye({ endpoint: this.endpoint }, cursor, [JSON.stringify(leave)]);
    }
  }

  async #connect(): Promise<void> {
    this.#drop(GIVEN_UP);
    this.#enter({ name: "connecting" });
    this.#turn += 1;
    const turn = this.#turn;
    this.#await();
    if (!this.seat && this.#token.mustAsk) {
      const token = await this.#token.ask().catch((error: HeliographError) => error);
      if (turn !== this.#turn) return;
      if (token instanceof HeliographError) return this.#wait(0, token.text, token);
    }
    if (this.#ladder.doubtful) {
      const answers = await this.endpoint.answers();
      if (turn !== this.#turn) return;
      if (answers) this.#ladder.step(Date.now());
    }
    this.#await();
    this.#transport = this.#open(this.#ladder.current, this.#carried(turn));
  }

  #carried(turn: number): Carried {
    const current = () => turn === this.#turn;
    return {
      endpoint: this.endpoint,
      cursor: () => this.#cursor(),
      opened: () => current() && this.#ask(),
      received: (text) => {
        if (current()) this.#receive(text);
      },
      closed: (code, text) => {
        if (current()) this.#lost(code, text);
      },
    };
  }

  #cursor(): Cursor | null {
    if (!this.seat) return null;
    const { session, key } = this.seat;
    return { session, key, seq: this.#came.tell(), attempt: this.#attempt };
  }

  /** Asks for the session, or for a seat if there is none. */
  #ask(): void {
    if (this.seat) {
      this.#attempt += 1;
      this.#transport?.send({ type: "resume", ...this.#cursor() });
      return;
    }
    const { room, password, create } = this.#options;
    const { metadata, after } = this;
    const once = this.#once;
    const token = this.#token.last;
    const hello = { type: "hello", room, token, metadata, once, create, password, after };
    this.#transport?.send(hello);
  }

  #await(): void {
    this.#set("answer", ANSWER_TIMEOUT_MS, () => this.#lost(0, ""));
  }

  #receive(text: string): void {
    const frame = readFrame(text);
    if (!frame) return;
    this.#heard();
    if (!this.isOnline) this.#answered(frame);
    else if (frame.type === "resync") this.#resync(frame);
    else this.#take(frame, text.length);
  }

  #take(frame: ServerFrame, length: number): void {
    if (frame.type === "close") return this.#lost(frame.code, frame.text);
    const isNew = this.#takes(frame, length);
    // A refusal settles its request before the word that comes with it settles those up to there.
    if (isNew && frame.type === "error" && this.#refused(frame)) return this.#lost(0, "");
    if (typeof frame.ack === "number" && frame.type !== "resumed") this.#kept.ack(frame.ack);
    if (isNew) this.#pass(frame);
  }

  #pass(frame: ServerFrame): void {
    if (frame.type === "presence") {
      const known = frame.changes.filter((change) => isRoomFrame(change) && isPresence(change));
      for (const change of known) this.emit("frame", change);
    } else if (isRoomFrame(frame)) {
      if (frame.type === "broadcast") this.after = frame.event ?? this.after;
      this.emit("frame", frame);
    } else if (frame.type === "token" || frame.type === "pong" || frame.type === "diagnosis") {
      this.#calls.answer(frame.id, frame);
    } else if (frame.type === "goaway" && frame.url) {
      this.#move(frame.url, frame.deadline_s);
    }
  }

  /** Tells who wants to know of a refusal; whether the server has lost track of us. */
  #refused(frame: ErrorFrame): boolean {
    const error = refusal(frame);
    if (frame.id !== undefined && this.#calls.fail(frame.id, error)) return false;
    if (LOST_TRACK.includes(frame.code)) return true;
    // All that has no number is a report or a sign of life: an older server knows no reports.
    if (frame.code === "unknown_type" && frame.id === undefined) this.takesReports = false;
    else if (frame.id !== undefined && this.#kept.refuse(frame.id, error)) return false;
    else if (!NOBODYS_FAULT.includes(frame.code)) this.emit("refused", error);
    return false;
  }

  /** Whether a frame hasn't come before. A gap can only be mended by a resume. */
  #takes({ seq }: ServerFrame, length: number): boolean {
    if (typeof seq !== "number") return true;
    const turn = this.#came.take(seq, length);
    if (turn === "gap") this.#lost(0, "");
    if (turn !== "next") return false;
    if (this.#transport?.acknowledges) return true;
    if (this.#came.urgent) this.#ack();
    else this.#ackLater();
    return true;
  }

  /** The answer to `hello` or `resume`. */
  #answered(frame: ServerFrame): void {
    switch (frame.type) {
      case "welcome":
        this.#forget();
        this.#once = random();
        this.#seatAs(frame);
        this.#token.shown(frame.token_ttl_s);
        this.emit("welcome", frame);
        return;
      case "resync":
        return this.#resync(frame);
      case "resumed":
        this.#online();
        // What came of them is said behind what was missed.
        this.#kept.spare(frame.ack);
        return this.#goOn();
      case "error":
        return this.#refusedEntry(frame);
      case "close":
        return this.#lost(frame.code, frame.text);
      default:
    }
  }

  #seatAs(frame: WelcomeFrame): void {
    this.seat = frame;
    this.#came = new Came(frame.seq ?? 0, frame.limits?.unacked_bytes_max);
    this.#online();
  }

  #resync(frame: WelcomeFrame): void {
    this.#seatAs({ ...frame, key: frame.key ?? this.seat?.key });
    this.emit("resync", frame);
    this.#kept.ack(frame.ack ?? 0);
    this.#goOn();
  }

  #refusedEntry(frame: ErrorFrame): void {
    if (frame.code === "no_such_session" && this.seat) {
      this.#forget();
      // The token of the seat before may have expired.
      if (this.#token.mustAsk) return void this.#connect();
      this.#await();
      return this.#ask();
    }
    const error = refusal(frame);
    const pause = Math.min(frame.retry_after_ms ?? 0, PAUSE_MS_MAX);
    if (frame.retry) this.#wait(0, frame.text, error, pause);
    else this.#end(0, frame.text, error);
  }

  #online(): void {
    this.#clear("answer");
    this.#ladder.worked();
    this.#set("stable", STABLE_MS, () => this.#backoff.reset());
    const transport = this.#ladder.current;
    this.#enter({ name: "online", transport });
    if (this.#came.news && !this.#transport?.acknowledges) this.#ackLater();
    this.#heard();
  }

  /** The session goes on: sends what the server may not have. */
  #goOn(): void {
    for (const frame of this.#kept.frames) this.#send(frame);
    this.#token.resumed();
  }

  /**
   * Any frame shows that the server lives; after a silence we ask, and after a longer one it is
   * gone. What we ask also shows the server that we live, where it can't ask us.
   */
  #heard(): void {
    this.#clear("liveness");
    if (!this.isOnline || !this.seat) return;
    const { interval_s, timeout_s } = this.seat.heartbeat;
    const quietMs = interval_s * 1000 + (this.#transport?.quietMs ?? 0);
    this.#set("liveness", quietMs, () => this.#probe((timeout_s - interval_s) * 1000));
  }

  /** Asks the server for a sign of life. */
  #probe(patienceMs: number): void {
    this.#send({ type: "ping" });
    this.#set("liveness", patienceMs, () => this.#lost(0, ""));
  }

  #networkChanged = (): void => {
    this.retryNow();
    if (this.isOnline) this.#probe(NETWORK_MS);
    this.emit("network", undefined);
  };

  /** Goes to another server within the time, at a random moment: the others go there too. */
  #move(address: string, deadline_s: number): void {
    let endpoint: Endpoint;
    try {
      endpoint = new Endpoint(address);
    } catch (error) {
      return this.emit("refused", error as HeliographError);
    }
    this.#set("move", Math.random() * deadline_s * 500, () => {
      this.#endpoints = [endpoint, this.#options.endpoint];
      void this.#connect();
    });
  }

  #ackLater(): void {
    if (!this.#timers.has("ack")) this.#set("ack", ACK_DELAY_MS, () => this.#ack());
  }

  #ack(): void {
    if (this.#came.news) this.#send({ type: "ack" });
  }

  #lost(code: number, text: string): void {
    if (!this.isOnline) this.#ladder.failed();
    else this.#ladder.lookUp(Date.now());
    // Where it was sent to may not be there: then it tries where it was before, in turns.
    if (!this.isOnline && this.#endpoints.length > 1) this.#endpoints.reverse();
    if (code === EXPIRED && this.#token.mustAsk) this.#forget();
    else if (!mayReconnect(code)) return this.#endWith(code, text);
    this.#wait(code, text);
  }

  #endWith(code: number, text: string): void {
    const sentence = closeText(code, text);
    this.#end(code, sentence, new HeliographError("ended", sentence, { closeCode: code }));
  }

  #wait(code: number, text: string, error: HeliographError | null = null, leastMs = 0): void {
    this.#drop(GIVEN_UP);
    const inMs = this.#backoff.next(leastMs);
    this.#set("retry", inMs, () => void this.#connect());
    this.#enter({ name: "waiting", code, inMs, text: closeText(code, text), error });
  }

  #end(code: number, text: string, error: HeliographError | null): void {
    if (this.isEnded) return;
    globalThis.removeEventListener?.("online", this.#networkChanged);
    navigatorConnection()?.removeEventListener?.("change", this.#networkChanged);
    this.connection = { name: "ended", code, text, error };
    this.#drop(LEFT);
    this.#forget(this.#offline());
    this.#token.stop();
    this.emit("connection", this.connection);
  }

  /** Lets the connection go. Unless the code says that we leave, the session goes on without. */
  #drop(code: number): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#calls.failAll(this.#offline());
    this.#turn += 1;
    const transport = this.#transport;
    this.#transport = null;
    transport?.close(code);
  }

  /** There is no session: the next connection asks for a seat. Requests are over for this reason. */
  #forget(reason = lost()): void {
    this.#kept.fail(reason);
    this.seat = null;
    this.#attempt = 0;
    this.#came = new Came();
    this.#kept = new Kept();
  }

  /** Sends a frame, and with it what has come. */
  #send(frame: Frame): void {
    if (this.#came.news) {
      frame = { ...frame, ack: this.#came.tell() };
      this.#clear("ack");
    }
    this.#transport?.send(frame);
  }

  #offline(): HeliographError {
    if (this.connection.name === "ended")
      return new HeliographError("ended", this.connection.text || "You have left the room.");
    return new HeliographError(
      "offline",
      "There is no connection to the server: wait until it is back.",
      {
        retry: true,
      },
    );
  }

  #set(name: TimerName, ms: number, then: () => void): void {
    this.#clear(name);
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      then();
    }, ms);
    this.#timers.set(name, timer);
  }

  #clear(name: TimerName): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #enter(connection: Connection): void {
    this.connection = connection;
    this.emit("connection", connection);
  }
}

function lost(): HeliographError {
  const text = "The session ended before the server confirmed this: do it again.";
  return new HeliographError("lost", text, { retry: true });
}

function random(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The Network Information API, where there is one. */
function navigatorConnection(): EventTarget | undefined {
  return (globalThis.navigator as { connection?: EventTarget } | undefined)?.connection;
}
