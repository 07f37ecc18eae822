// The page's half of a session, against a server that is played here, in virtual time.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Backoff } from "../../../signal/server/page/backoff.js";
import { Came, Kept } from "../../../signal/server/page/numbers.js";
import { Session } from "../../../signal/server/page/signal.js";

/** The sockets that were opened, the last one last. */
let sockets = [];

globalThis.WebSocket = class {
  static OPEN = 1;

  constructor() {
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
    this.readyState = WebSocket.OPEN;
    this.onopen({});
  }

  says(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }

  breaks(code = 1006) {
    this.readyState = 3;
    this.onclose({ code, reason: "" });
  }

  /** What was sent since the last look. */
  take() {
    return this.sent.splice(0);
  }
};

const WELCOME = {
  seq: 1,
  type: "welcome",
  peer: "me",
  session: "demo:me",
  key: "k",
  members: [],
  heartbeat: { interval_s: 4, timeout_s: 9 },
  limits: { unacked_bytes_max: 262_144 },
};

beforeEach(() => {
  sockets = [];
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

function last() {
  return sockets.at(-1);
}

/** A session that is in the room, and what it tells. */
function online() {
  const backoff = new Backoff({ random: () => 1 });
  const session = new Session("ws://x", { room: "demo", metadata: {}, backoff });
  const told = [];
  for (const type of ["welcome", "resync", "joined", "left", "away", "back", "signal", "ice", "error"])
    session.addEventListener(type, ({ detail }) => told.push(detail));
  session.start();
  last().opens();
  const [hello] = last().take();
  assert.deepEqual(hello, { type: "hello", room: "demo", metadata: {}, once: hello.once });
  assert.match(hello.once, /^[0-9a-f]{32}$/);
  last().says(WELCOME);
  return { session, told };
}

function reconnect() {
  const { length } = sockets;
  mock.timers.tick(15_000);
  assert.equal(sockets.length, length + 1, "it connects again");
  last().opens();
}

test("many who come and go are told one by one, and acknowledged once", () => {
  const { told } = online();
  const left = { type: "left", peer: "bob", reason: "left" };
  const joined = { type: "joined", peer: "carol", metadata: {}, polite: true, offers: false };
  const changes = [left, { type: "dance" }, joined];
  last().says({ seq: 2, type: "presence", changes });
  assert.deepEqual(told.slice(1), [left, joined]);
  last().says({ seq: 2, type: "presence", changes });
  assert.equal(told.length, 3, "it has come before");
  mock.timers.tick(1000);
  assert.deepEqual(last().take(), [{ type: "ack", ack: 2 }]);
});

test("frames that have come are counted, and told when it is time", () => {
  const came = new Came(1, 400);
  assert.deepEqual([came.take(1, 9), came.take(3, 9), came.take(2, 99)], ["again", "gap", "next"]);
  assert.deepEqual([came.news, came.urgent], [true, false]);
  assert.equal(came.take(3, 1), "next");
  assert.equal(came.urgent, true, "a quarter of the bytes that may wait");
  assert.deepEqual([came.tell(), came.news, came.urgent], [3, false, false]);
  for (let seq = 4; seq < 36; seq += 1) came.take(seq, 0);
  assert.equal(came.urgent, true);
});

test("signals are kept until they are acknowledged, and not without end", () => {
  const kept = new Kept();
  assert.deepEqual([kept.push({ a: 1 }), kept.push({ a: 2 })], [{ a: 1, id: 1 }, { a: 2, id: 2 }]);
  kept.ack(1);
  kept.ack(0);
  assert.deepEqual(kept.frames, [{ a: 2, id: 2 }]);
  kept.ack(99);
  assert.equal(kept.push({}).id, 3);
  for (let i = 0; i < 255; i += 1) assert.notEqual(kept.push({}), null);
  assert.equal(kept.push({}), null);
});

test("frames are acknowledged within a second, or with whatever is sent", () => {
  const { session } = online();
  mock.timers.tick(999);
  assert.deepEqual(last().take(), []);
  mock.timers.tick(1);
  assert.deepEqual(last().take(), [{ type: "ack", ack: 1 }]);
  last().says({ seq: 2, type: "signal", from: "bob", data: 1 });
  session.signal("bob", "x");
  assert.deepEqual(last().take(), [{ type: "signal", to: "bob", data: "x", id: 1, ack: 2 }]);
  mock.timers.tick(2000);
  assert.deepEqual(last().take(), []);
});

test("a lost session is resumed, sends again what didn't arrive, and tells nothing twice", () => {
  const { session, told } = online();
  for (const data of [1, 2, 3]) session.signal("bob", data);
  last().says({ seq: 2, ack: 1, type: "signal", from: "bob", data: "a" });
  last().breaks();
  assert.equal(session.state.name, "waiting");
  assert.equal(session.signal("bob", 4), true, "it waits");
  reconnect();
  assert.deepEqual(last().take(), [{ type: "resume", session: "demo:me", key: "k", seq: 2, attempt: 1 }]);
  last().says({ type: "resumed", ack: 2 });
  assert.deepEqual(
    last()
      .take()
      .map(({ id, data }) => [id, data]),
    [
      [3, 3],
      [4, 4],
    ],
  );
  for (const seq of [2, 3, 3]) last().says({ seq, type: "signal", from: "bob", data: seq });
  assert.deepEqual(
    told.map(({ seq }) => seq),
    [1, 2, 3],
  );
  assert.equal(session.state.name, "online");
});

test("a session that is over is joined anew on the same connection", () => {
  const { session, told } = online();
  session.signal("bob", 1);
  last().breaks(4003);
  reconnect();
  last().says({ type: "error", code: "no_such_session", text: "", retry: false });
  assert.deepEqual(
    last()
      .take()
      .map(({ type }) => type),
    ["resume", "hello"],
  );
  assert.equal(session.signal("bob", 2), false);
  last().says({ ...WELCOME, peer: "again" });
  assert.deepEqual(
    told.map(({ peer }) => peer),
    ["me", "again"],
  );
  assert.deepEqual(last().take(), [], "nothing of the session before");
  session.signal("bob", 3);
  assert.equal(last().take()[0].id, 1);
});

test("a resync replaces what is known and the session goes on", () => {
  const { session, told } = online();
  session.signal("bob", 1);
  last().breaks();
  reconnect();
  last().take();
  last().says({ ...WELCOME, seq: 9, type: "resync", ack: 0 });
  assert.equal(told.at(-1).type, "resync");
  assert.equal(last().take()[0].id, 1);
  last().says({ seq: 10, type: "signal", from: "bob", data: 1 });
  assert.equal(told.at(-1).seq, 10);
});

test("a silent connection is given up with a code that doesn't leave", () => {
  const { session } = online();
  const first = last();
  mock.timers.tick(4000);
  assert.deepEqual(first.take().at(-1), { type: "ping" });
  mock.timers.tick(4999);
  assert.equal(session.state.name, "online");
  mock.timers.tick(1);
  assert.equal(session.state.name, "waiting");
  assert.equal(first.closedWith, 4900);
  reconnect();
  assert.equal(last().take()[0].type, "resume");
});

test("after a change of the network the server must answer soon", () => {
  const { session } = online();
  session.onNetwork();
  assert.deepEqual(last().take().at(-1), { type: "ping", ack: 1 });
  mock.timers.tick(3000);
  assert.equal(session.state.name, "waiting");
});

test("a gap, or a server that has lost track, is mended by a resume", () => {
  for (const frame of [
    { seq: 3, type: "joined" },
    { type: "error", code: "out_of_order", text: "", retry: false },
  ]) {
    const { session, told } = online();
    last().says(frame);
    assert.equal(session.state.name, "waiting");
    assert.equal(told.length, 1);
  }
});

test("a server that is full is asked again after the time it says", () => {
  const session = new Session("ws://x", { room: "demo", token: "a.b.c", metadata: {} });
  session.start();
  last().opens();
  const [hello] = last().take();
  const { once } = hello;
  assert.deepEqual(hello, { type: "hello", room: "demo", token: "a.b.c", metadata: {}, once });
  const full = { type: "error", code: "rate_limited", text: "", retry: true, retry_after_ms: 20_000 };
  last().says(full);
  assert.equal(session.state.name, "waiting");
  mock.timers.tick(19_999);
  assert.equal(sockets.length, 1);
  mock.timers.tick(501);
  assert.equal(sockets.length, 2);
  last().opens();
  assert.deepEqual(last().take(), [hello], "it asks for the same seat");
});

test("who leaves says so, and nothing happens afterwards", () => {
  const { session } = online();
  const socket = last();
  session.close();
  assert.deepEqual(socket.take(), [{ type: "ack", ack: 1 }, { type: "leave" }]);
  assert.equal(socket.closedWith, 1000);
  mock.timers.tick(60_000);
  assert.equal(sockets.length, 1);
  assert.equal(session.signal("bob", 1), false);
});

test("another seat is taken before the old one is given back", () => {
  const { session } = online();
  const old = last();
  session.renew();
  last().opens();
  assert.equal(last().take()[0].type, "hello");
  assert.equal(old.closedWith, undefined);
  mock.timers.tick(1000);
  assert.equal(old.closedWith, 1000);
});
