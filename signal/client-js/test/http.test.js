// A session's frames over plain HTTP, before a network that is made up.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Endpoint } from "../build/endpoint.js";
import { EventReader, EventsTransport } from "../build/transports/events.js";
import { PollTransport } from "../build/transports/poll.js";
import { begin, pass, settle } from "./support.js";

const CURSOR = { session: "demo:me", key: "k", seq: 3, attempt: 2 };

/** What was asked, each with what answers it. */
let asked = [];

beforeEach(() => {
  begin();
  asked = [];
  browser({});
  globalThis.fetch = (url, init) =>
    new Promise((resolve, reject) => {
      init.signal?.addEventListener("abort", () => reject(init.signal.reason));
      const { method = "GET", headers = {}, body } = init;
      const request = `${method} ${url.pathname}${url.search}`;
      const said = body === undefined ? undefined : JSON.parse(body);
      const fails = () => reject(new TypeError("Failed to fetch"));
      asked.push({ ...init, request, said, headers, answers: resolve, fails });
    });
});

/** What the browser has beside `fetch`. */
function browser(navigator) {
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
}

const json = (value, status = 200) => new Response(JSON.stringify(value), { status });
const error = (code, more) => ({ type: "error", code, text: "", retry: true, ...more });

/** A transport, and what it tells. */
async function open(Transport, cursor = CURSOR) {
  const told = [];
  const session = { cursor };
  const transport = new Transport({
    endpoint: new Endpoint("wss://x/meet/"),
    cursor: () => session.cursor,
    opened: () => told.push("opened"),
    received: (text, inOrder) => {
      told.push([JSON.parse(text).type, inOrder]);
      session.hears?.();
    },
    closed: (code) => told.push(["closed", code]),
  });
  await settle();
  assert.deepEqual(told.splice(0), ["opened"]);
  return { transport, told, session };
}

/** Answers the newest request. */
async function answer(response) {
  asked.at(-1).answers(response);
  await settle();
}

/** A stream of events that is fed by hand. */
function stream() {
  let feed;
  const body = new ReadableStream({ start: (controller) => (feed = controller) });
  const encoder = new TextEncoder();
  return {
    response: new Response(body, { headers: { "content-type": "text/event-stream" } }),
    async says(text) {
      feed.enqueue(encoder.encode(text));
      await settle();
    },
    async ends() {
      feed.close();
      await settle();
    },
  };
}

test("who says hello gets a seat by the answer, then asks for what comes", async () => {
  const { transport, told, session } = await open(PollTransport, null);
  transport.send({ type: "hello", room: "demo" });
  assert.deepEqual([asked[0].request, asked[0].said.type], ["POST /meet/v1/send", "hello"]);
  assert.equal(asked[0].headers.authorization, undefined);
  session.cursor = CURSOR;
  await answer(json([{ type: "welcome" }]));
  assert.deepEqual(told, [["welcome", true]]);
  assert.equal(asked[1].request, "GET /meet/v1/poll?session=demo%3Ame&seq=3&attempt=2&wait_s=1");
  assert.equal(asked[1].headers.authorization, "Bearer k", "the key stands in no URL");
});

test("a hello that is refused is told, and asks for nothing", async () => {
  const { transport, told } = await open(PollTransport, null);
  transport.send({ type: "hello", room: "demo" });
  await answer(json(error("room_full"), 503));
  assert.deepEqual(told, [["error", true]]);
  assert.equal(asked.length, 1);
});

test("polls follow each other: the first one is short, and each tells what has come", async () => {
  const { transport, told, session } = await open(PollTransport);
  transport.send({ type: "resume" });
  await answer(json([{ type: "resumed" }, { type: "joined" }]));
  session.cursor = { ...CURSOR, seq: 4 };
  await answer(json([]));
  assert.deepEqual(told, [["resumed", true], ["joined", true]]);
  assert.deepEqual(
    asked.map(({ request }) => /wait_s=(\d+)/.exec(request)[1]),
    ["1", "25", "25"],
  );
  assert.match(asked[2].request, /seq=4&/);
});

test("a poll that is refused is told, and the connection is over", async () => {
  const { transport, told } = await open(PollTransport);
  transport.send({ type: "resume" });
  await answer(json(error("no_such_session"), 404));
  assert.deepEqual(told, [["error", true], ["closed", 1006]]);
  assert.equal(asked.length, 1);
});

for (const [what, fail] of [
  ["nobody is there", () => asked.at(-1).fails()],
  ["somebody else answers", () => asked.at(-1).answers(new Response("<html>", { status: 502 }))],
  ["the answer is no list of frames", () => asked.at(-1).answers(json({ up: true }))],
]) {
  for (const frame of [{ type: "hello" }, { type: "resume" }, { type: "ping" }])
    test(`a connection is over if ${what} for a ${frame.type}`, async () => {
      const { transport, told } = await open(PollTransport);
      transport.send(frame);
      fail();
      await settle();
      assert.deepEqual(told, [["closed", 1006]]);
    });
}

test("frames go in order, one request at a time, with all that has gathered", async () => {
  const { transport, told } = await open(PollTransport);
  for (let id = 1; id <= 70; id += 1) transport.send({ type: "signal", id });
  assert.equal(asked.length, 1);
  assert.equal(asked[0].request, "POST /meet/v1/send?session=demo%3Ame");
  const ids = () => asked.map(({ said }) => said.map(({ id }) => id));
  assert.deepEqual(ids(), [[1]]);
  await answer(json([{ type: "ack", ack: 1 }]));
  assert.deepEqual(told, [["ack", false]], "it may have overtaken what was polled for");
  await answer(json([]));
  assert.deepEqual(ids().map((some) => [some[0], some.length]), [[1, 1], [2, 64], [66, 5]]);
});

test("large frames share no request beyond what one may carry", async () => {
  const { transport } = await open(PollTransport);
  const data = "x".repeat(40_000);
  for (let id = 1; id <= 4; id += 1) transport.send({ type: "signal", data, id });
  await answer(json([]));
  assert.deepEqual(asked.map(({ said }) => said.length), [1, 2], "120 KB count threefold");
});

test("who is told to wait sends the same again then, and nothing overtakes it", async () => {
  const { transport, told } = await open(PollTransport);
  transport.send({ type: "signal", id: 1 });
  await answer(json(error("rate_limited", { retry_after_ms: 300 }), 429));
  transport.send({ type: "signal", id: 2 });
  await pass(299);
  assert.equal(asked.length, 1);
  await pass(1);
  assert.deepEqual(asked[1].said.map(({ id }) => id), [1, 2]);
  await answer(new Response("", { status: 503 }));
  await pass(999);
  assert.equal(asked.length, 2);
  await pass(1);
  assert.equal(asked.length, 3);
  assert.deepEqual(told, []);
});

test("events come as they are told, in whatever pieces", async () => {
  const { transport, told } = await open(EventsTransport);
  const events = stream();
  transport.send({ type: "resume" });
  assert.equal(asked[0].request, "GET /meet/v1/events?session=demo%3Ame&seq=3&attempt=2");
  await answer(events.response);
  await events.says(': hello\n\nid: 4\ndata: {"type":"resumed"}\n\ndata: {"type":"jo');
  assert.deepEqual(told, [["resumed", true]]);
  await events.says('ined"}\n\n');
  assert.deepEqual(told[1], ["joined", true]);
  await events.ends();
  assert.deepEqual(told[2], ["closed", 1006]);
});

test("an answer in the place of events is read as what it is", async () => {
  const { transport, told } = await open(EventsTransport);
  transport.send({ type: "resume" });
  await answer(json(error("no_such_session"), 404));
  assert.deepEqual(told, [["error", true], ["closed", 1006]]);
});

test("an event ends with an empty line, may have several lines, and isn't endless", () => {
  const reader = new EventReader();
  assert.deepEqual(reader.read("data: 1\ndata:2\n"), []);
  assert.deepEqual(reader.read("\nid: 7\n\ndata: 3\n\n"), ["1\n2", "3"]);
  assert.throws(() => reader.read(`data: ${"x".repeat(1024 * 1024)}`), /too long/);
});

test("after it was closed a transport asks and tells nothing", async () => {
  const { transport, told } = await open(EventsTransport);
  const events = stream();
  transport.send({ type: "resume" });
  await answer(events.response);
  transport.send({ type: "signal", id: 1 });
  transport.close();
  await events.says('data: {"type":"joined"}\n\n');
  await answer(json([{ type: "ack" }]));
  await pass(60_000);
  assert.deepEqual(told, []);
  assert.ok(asked.every(({ signal }) => signal.aborted));
  assert.equal(asked.length, 2);
});

test("who closes a transport for what it tells hears nothing that came with it", async () => {
  const { transport, told, session } = await open(PollTransport);
  session.hears = () => transport.close();
  transport.send({ type: "resume" });
  await answer(json([{ type: "close" }, { type: "joined" }]));
  assert.deepEqual(told, [["close", true]]);
});

test("another resume ends the listening before", async () => {
  const { transport, told } = await open(PollTransport);
  transport.send({ type: "resume" });
  transport.send({ type: "resume" });
  await settle();
  assert.deepEqual([asked.length, asked[0].signal.aborted, told], [2, true, []]);
});

test("who leaves says so, with what wasn't sent yet, though the page may end", async () => {
  const beacons = [];
  const sendBeacon = (url, body) => beacons.push([url.pathname + url.search, JSON.parse(body)]) > 0;
  browser({ sendBeacon });
  const { transport } = await open(PollTransport);
  transport.send({ type: "signal", id: 1 });
  transport.send({ type: "signal", id: 2 });
  transport.leave([{ type: "leave" }]);
  const [[address, frames]] = beacons;
  assert.equal(address, "/meet/v1/send?session=demo%3Ame&key=k", "a beacon has no headers");
  const [signals, leave] = [frames.slice(0, -1), frames.at(-1)];
  assert.deepEqual([signals.map(({ id }) => id), leave.type], [[1, 2], "leave"]);
  assert.equal(asked[0].signal.aborted, true);
});

test("where a beacon is refused, a request is kept alive in its place", async () => {
  browser({ sendBeacon: () => false });
  const { transport } = await open(PollTransport);
  for (let id = 1; id <= 9; id += 1)
    transport.send({ type: "signal", data: "x".repeat(5000), id });
  transport.leave([{ type: "leave" }]);
  const { keepalive, said } = asked.at(-1);
  assert.equal(keepalive, true);
  assert.deepEqual(said.map(({ id }) => id), [6, 7, 8, 9, undefined], "the newest, in 60 KiB");
});
