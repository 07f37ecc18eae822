// A server, a browser's clock and a browser's connections, played for the tests.

import { mock } from "node:test";

/** The sockets that were opened, the last one last. */
export let sockets = [];

/** A WebSocket of which the test plays the server. */
export class FakeSocket {
  static OPEN = 1;

  constructor(url) {
    this.url = url;
    this.readyState = 0;
    this.sent = [];
    sockets.push(this);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closedWith = code;
    this.readyState = 2;
  }

  /** What the server does. */
  opens() {
    this.readyState = FakeSocket.OPEN;
    this.onopen?.({});
  }

  says(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  breaks(code = 1006) {
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }

  /** What was sent since the last look. */
  take() {
    return this.sent.splice(0);
  }
}

export const WELCOME = {
  seq: 1,
  type: "welcome",
  room: "demo",
  peer: "me",
  session: "demo:me",
  key: "k",
  members: [],
  ice_servers: [],
  heartbeat: { interval_s: 4, timeout_s: 9 },
  limits: { unacked_bytes_max: 262_144 },
};

/** Begins a test: virtual time, no sockets. */
export function begin() {
  sockets = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  globalThis.WebSocket = FakeSocket;
}

/** The socket that was opened last. */
export function last() {
  return sockets.at(-1);
}

/** Lets promises go on. */
export async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** Lets time pass, and what waits for it go on. */
export async function pass(ms) {
  mock.timers.tick(ms);
  await settle();
}
