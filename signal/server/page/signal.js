// A seat in a room: the WebSocket to the signaling server, protocol version 1 (docs/protocol.md).

import { Backoff } from "./backoff.js";

const SUBPROTOCOL = "heliograph.v1";
const WELCOME_TIMEOUT_MS = 10_000;

/** How long both seats are held when one is changed for another. */
const RENEW_MS = 1000;

/** How long a seat must hold before the next reconnect starts with a short pause again. */
const STABLE_MS = 10_000;

/** Close codes after which a client stays away, and the first of the range for that. */
const CLOSE = { LEFT: 1000, NOT_UTF8: 1007, TOO_LARGE: 1009, NEVER_FROM: 4100 };

/** Whether the protocol asks a client to come back after this close code. */
export function mayReconnect(code) {
  if (code >= CLOSE.NEVER_FROM) return false;
  return ![CLOSE.LEFT, CLOSE.NOT_UTF8, CLOSE.TOO_LARGE].includes(code);
}

/**
 * Holds a seat in one room, and takes a new one whenever the connection is lost.
 *
 * Events, each a `CustomEvent` with the frame or state in `detail`:
 * - `state`: `{ name }`, where `name` is `connecting`, `online`, `waiting` (with `code`, `inMs`,
 *   `text`) or `ended`
 *   (with `code`, `text`): ended for good;
 * - `welcome`, `joined`, `left`, `signal`, `error`: the server's frames.
 */
export class Session extends EventTarget {
  constructor(url, { room, metadata, backoff = new Backoff() }) {
    super();
    this.url = url;
    this.room = room;
    this.metadata = metadata;
    this.backoff = backoff;
    this.state = { name: "connecting" };
    this.peer = null;
    this.socket = null;
    this.timers = { retry: null, welcome: null, stable: null, liveness: null };
    this.onNetwork = () => this.retryNow();
  }

  /** Opens the connection. */
  start() {
    globalThis.addEventListener("online", this.onNetwork);
    this.#connect();
  }

  /** Sends any JSON value to one member; false if there is no seat to send from. */
  signal(to, data) {
    return this.state.name === "online" && this.#send({ type: "signal", to, data });
  }

  /** Ends a pause before a reconnect. */
  retryNow() {
    if (this.state.name !== "waiting") return;
    this.#connect();
  }

  /**
   * Changes this seat for a new one. The old one stays for a moment, so that the others learn of
   * the new one first.
   */
  renew() {
    if (this.state.name !== "online") return;
    const old = this.socket;
    this.socket = null;
    setTimeout(() => old.close(), RENEW_MS);
    this.#connect();
  }

  /** Gives the seat back. Nothing happens afterwards. */
  close() {
    globalThis.removeEventListener("online", this.onNetwork);
    this.#send({ type: "leave" });
    this.#drop();
    this.#enter({ name: "ended", code: CLOSE.LEFT, text: "" });
  }

  #connect() {
    this.#drop();
    this.#enter({ name: "connecting" });
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    this.socket = socket;
    const current = (handler) => (event) => socket === this.socket && handler(event);
    socket.onopen = current(() => {
      this.#send({ type: "hello", room: this.room, metadata: this.metadata });
    });
    socket.onmessage = current((event) => this.#receive(event.data));
    socket.onclose = current((event) => this.#lost(event.code, event.reason));
    this.timers.welcome = setTimeout(() => this.#lost(0, ""), WELCOME_TIMEOUT_MS);
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
    if (frame.type === "welcome") this.#welcome(frame);
    if (frame.type === "error" && this.state.name !== "online") this.#refused(frame);
    if (["welcome", "joined", "left", "signal", "error"].includes(frame.type))
      this.#emit(frame.type, frame);
  }

  #welcome(frame) {
    clearTimeout(this.timers.welcome);
    this.peer = frame.peer;
    this.heartbeat = frame.heartbeat;
    this.timers.stable = setTimeout(() => this.backoff.reset(), STABLE_MS);
    this.#enter({ name: "online" });
    this.#heard();
  }

  /** The server's answer to `hello` was an error: come back later, or never. */
  #refused(frame) {
    if (frame.retry) {
      this.#wait(0, frame.text);
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
    if (!this.heartbeat || this.state.name !== "online") return;
    const { interval_s: interval, timeout_s: timeout } = this.heartbeat;
    this.timers.liveness = setTimeout(() => {
      this.#send({ type: "ping" });
      this.timers.liveness = setTimeout(() => this.#lost(0, ""), (timeout - interval) * 1000);
    }, interval * 1000);
  }

  #lost(code, reason) {
    if (mayReconnect(code)) {
      this.#wait(code, reason);
    } else {
      this.#end(code, reason);
    }
  }

  #wait(code, text) {
    this.#drop();
    const inMs = this.backoff.next();
    this.timers.retry = setTimeout(() => this.#connect(), inMs);
    this.#enter({ name: "waiting", code, inMs, text });
  }

  #end(code, text) {
    this.#drop();
    this.#enter({ name: "ended", code, text });
  }

  #drop() {
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    const socket = this.socket;
    this.socket = null;
    this.peer = null;
    socket?.close();
  }

  #send(frame) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  #enter(state) {
    this.state = state;
    this.#emit("state", state);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
