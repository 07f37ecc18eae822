// A server, a browser's clock and a browser's connections, played for the tests.

import { mock } from "node:test";

/** The sockets that were opened, the last one last. */
export let sockets = [];

/** The peer connections that were made, the last one last. */
export let connections = [];

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

/** A data channel of a `FakeConnection`. */
class FakeChannel extends EventTarget {
  readyState = "connecting";
  bufferedAmount = 0;
  sent = [];

  constructor(label, init) {
    super();
    Object.assign(this, { label, init });
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.readyState = "closed";
  }

  /** What the connection does. */
  tells(type, state) {
    this.readyState = state;
    this[`on${type}`]?.({});
    this.dispatchEvent(new Event(type));
  }

  says(data) {
    this.onmessage?.({ data });
  }
}

/** A peer connection of which the test plays the world; it negotiates as W3C's does. */
export class FakeConnection {
  signalingState = "stable";
  connectionState = "new";
  iceGatheringState = "new";
  localDescription = null;
  remoteDescription = null;
  channels = [];
  candidates = [];
  restarts = 0;
  stats = new Map();
  #offers = 0;

  constructor(configuration) {
    this.configuration = configuration;
    connections.push(this);
  }

  createDataChannel(label, init) {
    const channel = new FakeChannel(label, init);
    if (this.channels.length === 0) queueMicrotask(() => this.onnegotiationneeded?.());
    this.channels.push(channel);
    return channel;
  }

  getConfiguration() {
    return this.configuration;
  }

  setConfiguration(configuration) {
    this.configuration = configuration;
  }

  async setLocalDescription() {
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    await null;
    this.#offers += 1;
    this.localDescription = { type, sdp: `ours ${this.#offers}` };
    this.signalingState = type === "answer" ? "stable" : "have-local-offer";
  }

  async setRemoteDescription(description) {
    await null;
    this.remoteDescription = description;
    this.signalingState = description.type === "answer" ? "stable" : "have-remote-offer";
  }

  async addIceCandidate(candidate) {
    if (candidate?.candidate === "bad") throw new Error("no such ufrag");
    this.candidates.push(candidate);
  }

  restartIce() {
    this.restarts += 1;
    this.onnegotiationneeded?.();
  }

  async getStats() {
    return this.stats;
  }

  close() {
    this.signalingState = "closed";
    this.connectionState = "closed";
  }

  /** What the world does. */
  connects() {
    for (const channel of this.channels) channel.tells("open", "open");
    this.becomes("connected");
  }

  becomes(state) {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  /** The other side closes it. */
  ends() {
    for (const channel of this.channels) channel.tells("close", "closed");
  }

  channel(label) {
    return this.channels.find((one) => one.label === label);
  }
}

/** Begins a test: virtual time, no sockets. */
export function begin() {
  sockets = [];
  connections = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  globalThis.WebSocket = FakeSocket;
  globalThis.RTCPeerConnection = FakeConnection;
}

/** The socket that was opened last. */
export function last() {
  return sockets.at(-1);
}

/** Lets promises go on. */
export function settle() {
  return new Promise((resume) => setImmediate(resume));
}

/** Lets time pass, and what waits for it go on. */
export async function pass(ms) {
  mock.timers.tick(ms);
  await settle();
}
