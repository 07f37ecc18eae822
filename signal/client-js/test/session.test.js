// The client's half of a session, against a server that is played here, in virtual time.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Backoff } from "../build/backoff.js";
import { mayReconnect } from "../build/connection.js";
import { Endpoint } from "../build/endpoint.js";
import { Came, Kept } from "../build/numbers.js";
import { Session } from "../build/session.js";
import { WELCOME, begin, last, pass, settle, sockets } from "./support.js";

beforeEach(begin);

/** A session that asks for a seat, and what it tells. */
function session(options = {}) {
  const backoff = new Backoff({ random: () => 1 });
  const endpoint = new Endpoint("ws://x");
  const transports = ["websocket"];
  const made = new Session({
    endpoint,
    room: "demo",
    metadata: {},
    backoff,
    transports,
    ...options,
  });
  const told = [];
  for (const type of ["welcome", "resync", "frame", "refused"])
    made.on(type, (it) => told.push(it));
  made.start();
  return { session: made, told };
}

/** One that is in the room. */
async function online(options = {}) {
  const made = session(options);
  await settle();
  last().opens();
  const [hello] = last().take();
  assert.equal(hello.type, "hello");
  assert.match(hello.once, /^[0-9a-f]{32}$/);
  last().says(WELCOME);
  return made;
}

async function reconnect() {
  const { length } = sockets;
  await pass(15_000);
  assert.equal(sockets.length, length + 1, "it connects again");
  last().opens();
}

const signal = (to, data) => ({ type: "signal", to, data });

test("many who come and go are told one by one, and acknowledged once", async () => {
  const { told } = await online();
  const left = { type: "left", peer: "bob", reason: "left" };
  const joined = { type: "joined", peer: "carol", metadata: {}, polite: true, offers: false };
  const changes = [left, { type: "dance" }, joined];
  last().says({ seq: 2, type: "presence", changes });
  assert.deepEqual(told.slice(1), [left, joined]);
  last().says({ seq: 2, type: "presence", changes });
  assert.equal(told.length, 3, "it has come before");
  await pass(1000);
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

test("requests are kept until they are acknowledged, and not without end", () => {
  const kept = new Kept();
  assert.deepEqual(
    [kept.push({ a: 1 }), kept.push({ a: 2 })],
    [
      { a: 1, id: 1 },
      { a: 2, id: 2 },
    ],
  );
  kept.ack(1, true);
  kept.ack(0, true);
  assert.deepEqual(kept.frames, [{ a: 2, id: 2 }]);
  kept.ack(99, true);
  assert.equal(kept.push({}).id, 3);
  for (let i = 0; i < 1023; i += 1) assert.notEqual(kept.push({}), null);
  assert.equal(kept.push({}), null);
});

test("frames are acknowledged within a second, or with whatever is sent", async () => {
  const { session } = await online();
  await pass(999);
  assert.deepEqual(last().take(), []);
  await pass(1);
  assert.deepEqual(last().take(), [{ type: "ack", ack: 1 }]);
  last().says({ seq: 2, type: "signal", from: "bob", data: 1 });
  session.post(signal("bob", "x"));
  assert.deepEqual(last().take(), [{ type: "signal", to: "bob", data: "x", id: 1, ack: 2 }]);
  await pass(2000);
  assert.deepEqual(last().take(), []);
});

test("a lost session is resumed, sends again what didn't arrive, and tells nothing twice", async () => {
  const { session, told } = await online();
  for (const data of [1, 2, 3]) session.post(signal("bob", data));
  last().says({ seq: 2, ack: 1, type: "signal", from: "bob", data: "a" });
  last().breaks();
  assert.equal(session.connection.name, "waiting");
  assert.equal(session.post(signal("bob", 4)), true, "it waits");
  await reconnect();
  const resume = { type: "resume", session: "demo:me", key: "k", seq: 2, attempt: 1 };
  assert.deepEqual(last().take(), [resume]);
  last().says({ type: "resumed", ack: 2 });
  const again = last().take();
  assert.deepEqual(
    again.map(({ id, data }) => [id, data]),
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
  assert.equal(session.isOnline, true);
});

test("a session that is over is joined anew on the same connection", async () => {
  const { session, told } = await online();
  session.post(signal("bob", 1));
  const request = session.request({ type: "broadcast", data: 1 });
  last().breaks(4003);
  await reconnect();
  last().says({ type: "error", code: "no_such_session", text: "", retry: false });
  assert.deepEqual(
    last()
      .take()
      .map(({ type }) => type),
    ["resume", "hello"],
  );
  await assert.rejects(request, { code: "lost", retry: true });
  assert.equal(session.post(signal("bob", 2)), false);
  last().says({ ...WELCOME, peer: "again" });
  assert.deepEqual(
    told.map(({ peer }) => peer),
    ["me", "again"],
  );
  assert.deepEqual(last().take(), [], "nothing of the session before");
  session.post(signal("bob", 3));
  assert.equal(last().take()[0].id, 1);
});

test("a resync replaces what is known and the session goes on", async () => {
  const { session, told } = await online();
  session.post(signal("bob", 1));
  last().breaks();
  await reconnect();
  last().take();
  last().says({ ...WELCOME, seq: 9, type: "resync", ack: 0 });
  assert.equal(told.at(-1).type, "resync");
  assert.equal(last().take()[0].id, 1);
  last().says({ seq: 10, type: "signal", from: "bob", data: 1 });
  assert.equal(told.at(-1).seq, 10);
});

test("a silent connection is given up with a code that doesn't leave", async () => {
  const { session } = await online();
  const first = last();
  await pass(4000);
  assert.deepEqual(first.take().at(-1), { type: "ping" });
  await pass(4999);
  assert.equal(session.isOnline, true);
  await pass(1);
  assert.equal(session.connection.name, "waiting");
  assert.equal(first.closedWith, 4900);
  await reconnect();
  assert.equal(last().take()[0].type, "resume");
});

test("a gap, or a server that has lost track, is mended by a resume", async () => {
  for (const frame of [
    { seq: 3, type: "joined" },
    { type: "error", code: "out_of_order", text: "", retry: false },
  ]) {
    const { session, told } = await online();
    last().says(frame);
    assert.equal(session.connection.name, "waiting");
    assert.equal(told.length, 1);
    session.close();
  }
});

test("a server that is full is asked again after the time it says", async () => {
  const { session: made } = session({ token: "a.b.c" });
  await settle();
  last().opens();
  const [hello] = last().take();
  assert.equal(hello.token, "a.b.c");
  const full = {
    type: "error",
    code: "rate_limited",
    text: "",
    retry: true,
    retry_after_ms: 20_000,
  };
  last().says(full);
  assert.equal(made.connection.name, "waiting");
  await pass(19_999);
  assert.equal(sockets.length, 1);
  await pass(501);
  assert.equal(sockets.length, 2);
  last().opens();
  assert.deepEqual(last().take(), [hello], "it asks for the same seat");
});

test("who leaves says so, and nothing happens afterwards", async () => {
  const { session } = await online();
  const socket = last();
  session.close();
  assert.deepEqual(socket.take(), [{ type: "leave", ack: 1 }]);
  assert.equal(socket.closedWith, 1000);
  await pass(60_000);
  assert.equal(sockets.length, 1);
  assert.equal(session.post(signal("bob", 1)), false);
  await assert.rejects(session.request({ type: "state", value: 1 }), { code: "ended" });
});

test("requests that the end of the session overtakes are over as well", async () => {
  for (const end of [
    (session) => session.close(),
    () => last().breaks(4104),
  ]) {
    const { session } = await online();
    const request = session.request({ type: "metadata", metadata: {} });
    const question = session.call({ type: "diagnose", peer: "bob" });
    end(session);
    for (const asked of [request, question])
      await assert.rejects(asked, ({ code, retry }) => code === "ended" && !retry);
  }
});

test("who has to wait for a seat is told what the server said", async () => {
  const { session: made } = session();
  await settle();
  last().opens();
  last().says({ type: "error", code: "room_full", text: "the room is full", retry: true });
  const { name, text, error } = made.connection;
  assert.deepEqual([name, text, error.code], ["waiting", "the room is full", "room_full"]);
  await reconnect();
  last().breaks();
  assert.equal(made.connection.error, null, "the connection was lost: nobody refused it");
  made.close();
});

test("close codes decide about coming back as the protocol says", () => {
  for (const code of [1001, 1006, 1011, 4000, 4001, 4002, 4003])
    assert.equal(mayReconnect(code), true, code);
  for (const code of [1000, 1002, 1007, 1009, 4100, 4101, 4199])
    assert.equal(mayReconnect(code), false, code);
});

test("a request is settled by what shows that it was carried out, or refused", async () => {
  const { session } = await online();
  const settled = [];
  const ask = (name, frame) =>
    session.request(frame).then(
      () => settled.push(name),
      ({ code, current }) => settled.push([name, code, current]),
    );
  ask("set", { type: "state", value: 1 });
  ask("conflict", { type: "state", value: 2, if_version: 0 });
  ask("said", { type: "broadcast", data: "hi" });
  assert.deepEqual(
    last()
      .take()
      .map(({ id }) => id),
    [1, 2, 3],
  );
  last().says({ seq: 2, ack: 1, type: "state", by: "me", version: 1, value: 1 });
  await settle();
  assert.deepEqual(settled, ["set"]);
  const current = { version: 1, value: 1 };
  const error = {
    seq: 3,
    ack: 2,
    type: "error",
    code: "conflict",
    text: "",
    retry: false,
    state: current,
    id: 2,
  };
  last().says(error);
  await settle();
  assert.deepEqual(settled, ["set", ["conflict", "conflict", current]]);
  last().says({ type: "ack", ack: 3 });
  await settle();
  assert.deepEqual(settled.slice(2), ["said"]);
});

test("after a resume a refusal that was on the way still counts", async () => {
  const { session } = await online();
  const [one, two] = [1, 2].map((data) => session.request({ type: "broadcast", data }));
  last().breaks();
  await reconnect();
  assert.equal(last().take()[0].type, "resume");
  let isSettled = false;
  one.then(() => (isSettled = true));
  last().says({ type: "resumed", ack: 2 });
  assert.deepEqual(last().take(), [], "they need not be sent again");
  await settle();
  assert.equal(isSettled, false);
  last().says({
    seq: 2,
    type: "error",
    code: "rate_limited",
    text: "",
    retry: true,
    retry_after_ms: 9,
    id: 2,
  });
  last().says({ type: "ack", ack: 2 });
  await assert.rejects(two, { code: "rate_limited", retry: true, retryAfterMs: 9 });
  await one;
});

test("signals that didn't arrive since somebody left are nobody's trouble", async () => {
  const { session, told } = await online();
  session.post(signal("bob", 1));
  last().says({ seq: 2, type: "error", code: "undelivered", text: "", retry: false, id: 1 });
  last().says({ seq: 3, type: "error", code: "bad_metadata", text: "no", retry: false });
  assert.deepEqual(
    told.slice(1).map(({ code }) => code),
    ["bad_metadata"],
  );
});

test("a server that knows no reports isn't sent more of them", async () => {
  const { session, told } = await online();
  assert.equal(session.takesReports, true);
  last().says({ type: "error", code: "unknown_type", text: "", retry: false });
  assert.equal(session.takesReports, false);
  assert.equal(told.length, 1);
});

test("a question is answered by its number, and never waits for ever", async () => {
  const { session } = await online();
  const [first, second] = [session.call({ type: "ping" }), session.call({ type: "ping" })];
  const [one, two] = last().take();
  assert.ok(one.id >= 2 ** 40, "no numbered request has such a number");
  last().says({ type: "pong", id: two.id });
  assert.deepEqual(await second, { type: "pong", id: two.id });
  last().says({ type: "error", code: "out_of_order", text: "", retry: false, id: one.id });
  await assert.rejects(first, { code: "out_of_order" });
  assert.equal(session.isOnline, true);
  const late = assert.rejects(session.call({ type: "dance" }), { code: "offline" });
  last().breaks();
  await late;
});

test("a token is asked for anew for each seat, and renewed before it expires", async () => {
  let given = 0;
  const token = async () => `token-${(given += 1)}`;
  const { session: made } = session({ token });
  await settle();
  last().opens();
  assert.equal(last().take()[0].token, "token-1");
  last().says({ ...WELCOME, token_ttl_s: 100 });
  for (let s = 0; s < 74; s += 1) {
    await pass(1000);
    last().says({ type: "pong" });
  }
  last().take();
  await pass(1000);
  const shown = last()
    .take()
    .find(({ type }) => type === "token");
  assert.equal(shown.token, "token-2");
  last().says({ type: "token", id: shown.id, expires_in_s: 100 });
  last().breaks(4102);
  await reconnect();
  const [hello] = last().take();
  assert.deepEqual([hello.type, hello.token], ["hello", "token-3"]);
  made.close();
});

test("a newer token is shown until it is answered, also on the next connection", async () => {
  const { session, told } = await online({ token: "old" });
  const onItsWay = session.setToken("lost");
  await settle();
  last().take();
  last().breaks();
  await onItsWay;
  await session.setToken("new");
  await reconnect();
  assert.equal(last().take()[0].type, "resume");
  last().says({ type: "resumed", ack: 0 });
  const [shown] = last().take();
  assert.deepEqual([shown.type, shown.token], ["token", "new"]);

  // A refusal is an answer.
  last().says({ type: "error", id: shown.id, code: "unauthorized", text: "", retry: false });
  await settle();
  assert.equal(told.at(-1).code, "unauthorized");
  last().breaks();
  await reconnect();
  last().take();
  last().says({ type: "resumed", ack: 0 });
  assert.deepEqual(last().take(), []);
  session.close();
});

test("a session whose token has expired ends if there is nobody to ask for another", async () => {
  const { session } = await online({ token: "a.b.c" });
  last().breaks(4102);
  assert.equal(session.connection.name, "ended");
  assert.deepEqual(
    [session.connection.error.code, session.connection.error.closeCode],
    ["ended", 4102],
  );
});

test("a server that ends sends its clients elsewhere, and who isn't taken there comes back", async () => {
  const { session } = await online();
  last().says({ type: "goaway", deadline_s: 10, url: "wss://y/base/" });
  await pass(5000);
  assert.equal(last().url, "wss://y/base/v1/ws");
  last().opens();
  assert.equal(last().take()[0].type, "resume");
  last().breaks();
  await reconnect();
  assert.equal(last().url, "ws://x/v1/ws");
  session.close();
});
