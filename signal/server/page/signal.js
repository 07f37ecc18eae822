// A seat in a room: a session with the signaling server over one WebSocket after another, protocol
// version 1 (docs/protocol.md).

import { Backoff } from "./backoff.js";
import { Came, Kept } from "./numbers.js";

const SUBPROTOCOL = "heliograph.v1";
const ANSWER_TIMEOUT_MS = 10_000;

/** When a frame is acknowledged at the latest: half of what the protocol asks for. */
const ACK_DELAY_MS = 1000;

/** How long both seats are held when one is changed for another. */
const RENEW_MS = 1000;

/** How long a connection must hold before the next reconnect starts with a short pause again. */
const STABLE_MS = 10_000;

/** How long the server may take to answer after the network has changed. */
const NETWORK_MS = 3000;

/**
 * Close codes after which a client stays away, and the first of the range for that; and the one by
 * which we give up a connection, but not the session.
 */
const CLOSE = { LEFT: 1000, NOT_UTF8: 1007, TOO_LARGE: 1009, NEVER_FROM: 4100, GIVEN_UP: 4900 };

/** Refusals that say that the server has lost track of us on this connection. */
const LOST_TRACK = ["hello_first", "out_of_order"];

/** Frames of the server that are passed on. */
const PRESENCE = ["joined", "left", "away", "back"];
const TOLD = [...PRESENCE, "signal", "ice", "error"];

function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether the protocol asks a client to come back after this close code. */
export function mayReconnect(code) {
  if (code >= CLOSE.NEVER_FROM) return false;
  return ![CLOSE.LEFT, CLOSE.NOT_UTF8, CLOSE.TOO_LARGE].includes(code);
}

/**
 * Holds a seat in one room. A lost connection is taken up again and nothing is lost; what the server
 * then doesn't know of any more is joined anew.
 *
 * Events, each a `CustomEvent` with the frame or state in `detail`:
 * - `state`: `{ name }`, where `name` is `connecting`, `online`, `waiting` (with `code`, `inMs`,
 *   `text`) or `ended` (with `code`, `text`): ended for good;
 * - `welcome`: a seat, the first or a new one;
 * - `resync`: the same seat, but what is known of the room is to be replaced;
 * - `joined`, `left`, `away`, `back`, `signal`, `ice`, `error`: the server's frames, once each.
 */
export class Session extends EventTarget {
  constructor(url, { room, token, metadata, backoff = new Backoff() }) {
    super();
    this.url = url;
    this.room = room;
    this.token = token;
    this.metadata = metadata;
    this.backoff = backoff;
    this.state = { name: "connecting" };
    this.socket = null;
    /** By what the next seat is asked for, however often. */
    this.once = random();
    /** How often it has asked for a session again. */
    this.attempt = 0;
    this.timers = { retry: null, answer: null, stable: null, liveness: null, ack: null };
    this.onNetwork = () => this.#networkChanged();
    this.#forget();
  }

  /** Opens the connection. */
  start() {
    globalThis.addEventListener?.("online", this.onNetwork);
    this.#connect();
  }

  /**
   * Sends any JSON value to one member, now or once there is a connection again; false if it will
   * not be sent.
   */
  signal(to, data) {
    if (!this.seat || this.state.name === "ended") return false;
    const frame = this.kept.push({ type: "signal", to, data });
    if (frame && this.state.name === "online") this.#send(frame);
    return frame !== null;
  }

  /** Ends a pause before a reconnect. */
  retryNow() {
    if (this.state.name === "waiting") this.#connect();
  }

  /**
   * Changes this seat for a new one. The old one stays for a moment, so that the others learn of
   * the new one first.
   */
  renew() {
    if (this.state.name !== "online") return;
    const old = this.socket;
    this.socket = null;
    setTimeout(() => old.close(CLOSE.LEFT), RENEW_MS);
    this.#forget();
    this.#connect();
  }

  /** Gives the seat back. Nothing happens afterwards. */
  close() {
    globalThis.removeEventListener?.("online", this.onNetwork);
    if (this.state.name === "online") {
      this.#ack();
      this.#send({ type: "leave" });
    }
    this.#drop(CLOSE.LEFT);
    this.#enter({ name: "ended", code: CLOSE.LEFT, text: "" });
  }

  #connect() {
    this.#drop(CLOSE.GIVEN_UP);
    this.#enter({ name: "connecting" });
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    this.socket = socket;
    const current = (handler) => (event) => socket === this.socket && handler(event);
    socket.onopen = current(() => this.#ask());
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current((event) => this.#lost(event.code, event.reason));
    this.#await();
  }

  /** Asks for the session, or for a seat if there is none. */
  #ask() {
    if (this.seat) {
      const { session, key } = this.seat;
      this.attempt += 1;
      const seq = this.came.tell();
      this.#send({ type: "resume", session, key, seq, attempt: this.attempt });
    } else {
      const { room, token, metadata, once } = this;
      this.#send({ type: "hello", room, token, metadata, once });
    }
  }

  #await() {
    clearTimeout(this.timers.answer);
    this.timers.answer = setTimeout(() => this.#lost(0, ""), ANSWER_TIMEOUT_MS);
  }

  #receive(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame === null || typeof frame !== "object") return;
    this.#heard();
    if (Number.isSafeInteger(frame.ack)) this.kept.ack(frame.ack);
    if (this.state.name !== "online") {
      this.#answered(frame);
    } else if (this.#takes(frame, text.length)) {
      if (frame.type === "error" && LOST_TRACK.includes(frame.code)) this.#lost(0, "");
      else if (TOLD.includes(frame.type)) this.#emit(frame.type, frame);
      else if (frame.type === "presence") this.#tellAll(frame.changes);
    }
  }

  /** Many come and go: several frames in one. */
  #tellAll(changes) {
    const known = changes.filter(({ type }) => PRESENCE.includes(type));
    for (const change of known) this.#emit(change.type, change);
  }

  /** Whether a frame hasn't come before. A gap can only be mended by a resume. */
  #takes({ seq }, length) {
    if (!Number.isSafeInteger(seq)) return true;
    const turn = this.came.take(seq, length);
    if (turn === "gap") this.#lost(0, "");
    if (turn !== "next") return false;
    if (this.came.urgent) this.#ack();
    else this.timers.ack ??= setTimeout(() => this.#ack(), ACK_DELAY_MS);
    return true;
  }

  /** The answer to `hello` or `resume`. */
  #answered(frame) {
    if (frame.type === "welcome" || frame.type === "resync") {
      if (frame.type === "welcome") {
        this.kept = new Kept();
        this.once = random();
      }
      this.seat = frame;
      this.came = new Came(frame.seq ?? 0, frame.limits?.unacked_bytes_max);
      this.#online();
      this.#emit(frame.type, frame);
      this.#sendAgain();
    } else if (frame.type === "resumed") {
      this.#online();
      this.#sendAgain();
    } else if (frame.type === "error" && frame.code === "no_such_session" && this.seat) {
      this.#forget();
      this.#await();
      this.#ask();
    } else if (frame.type === "error") {
      this.#refused(frame);
    }
  }

  #online() {
    clearTimeout(this.timers.answer);
    this.timers.stable = setTimeout(() => this.backoff.reset(), STABLE_MS);
    if (this.came.news) this.timers.ack ??= setTimeout(() => this.#ack(), ACK_DELAY_MS);
    this.#enter({ name: "online" });
    this.#heard();
  }

  #sendAgain() {
    for (const frame of [...this.kept.frames]) this.#send(frame);
  }

  /** The server's answer to `hello` was an error: come back later, or never. */
  #refused(frame) {
    if (frame.retry) {
      this.#wait(0, frame.text, frame.retry_after_ms);
    } else {
      this.#end(0, frame.text);
    }
  }

  /**
   * Any frame shows that the server lives; after a silence we ask, and after a longer one it is
   * gone.
   */
  #heard() {
    clearTimeout(this.timers.liveness);
    if (this.state.name !== "online") return;
    const { interval_s: interval, timeout_s: timeout } = this.seat.heartbeat;
    const patienceMs = (timeout - interval) * 1000;
    this.timers.liveness = setTimeout(() => this.#probe(patienceMs), interval * 1000);
  }

  /** Asks the server for a sign of life. */
  #probe(patienceMs) {
    clearTimeout(this.timers.liveness);
    this.#send({ type: "ping" });
    this.timers.liveness = setTimeout(() => this.#lost(0, ""), patienceMs);
  }

  #networkChanged() {
    this.retryNow();
    if (this.state.name === "online") this.#probe(NETWORK_MS);
  }

  #ack() {
    if (this.came.news) this.#send({ type: "ack" });
  }

  #lost(code, reason) {
    if (mayReconnect(code)) {
      this.#wait(code, reason);
    } else {
      this.#end(code, reason);
    }
  }

  #wait(code, text, leastMs = 0) {
    this.#drop(CLOSE.GIVEN_UP);
    const inMs = this.backoff.next(leastMs);
    this.timers.retry = setTimeout(() => this.#connect(), inMs);
    this.#enter({ name: "waiting", code, inMs, text });
  }

  #end(code, text) {
    this.#drop(CLOSE.LEFT);
    this.#enter({ name: "ended", code, text });
  }

  /** Lets the connection go. Unless the code says that we leave, the session goes on without. */
  #drop(code) {
    for (const name of Object.keys(this.timers)) {
      clearTimeout(this.timers[name]);
      this.timers[name] = null;
    }
    const socket = this.socket;
    this.socket = null;
    socket?.close(code);
  }

  /** There is no session: the next connection asks for a seat. */
  #forget() {
    this.seat = null;
    this.came = new Came();
    this.kept = new Kept();
  }

  /** Sends a frame, and with it what has come. */
  #send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (this.came.news) {
      frame = { ...frame, ack: this.came.tell() };
      clearTimeout(this.timers.ack);
      this.timers.ack = null;
    }
    this.socket.send(JSON.stringify(frame));
  }

  #enter(state) {
    this.state = state;
    this.#emit("state", state);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
