// When and by which transport the server is tried again.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../build/backoff.js";
import { Endpoint } from "../build/endpoint.js";
import { Ladder } from "../build/ladder.js";
import { Session } from "../build/session.js";
import { begin, pass } from "./support.js";

test("pauses double up to the limit, and start again after a success", () => {
  const backoff = new Backoff({ firstMs: 500, maxMs: 4000, random: () => 1 });
  const pauses = [1, 2, 3, 4, 5].map(() => backoff.next());
  assert.deepEqual(pauses, [500, 1000, 2000, 4000, 4000]);
  backoff.reset();
  assert.equal(backoff.next(), 500);
});

test("a whole pause is random, so that a crowd spreads, but not shorter than asked for", () => {
  const shares = [0, 0.5, 0];
  const backoff = new Backoff({ firstMs: 500, random: () => shares.shift() });
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next(7000)], [0, 500, 7000]);
});

test("after very many attempts a pause is still the longest one", () => {
  const backoff = new Backoff({ maxMs: 15_000, random: () => 1 });
  for (let i = 0; i < 5000; i += 1) backoff.next();
  assert.equal(backoff.next(), 15_000);
});

/** A ladder on its second rung since `at`. */
function stepped(at) {
  const ladder = new Ladder(["websocket", "events", "poll"]);
  ladder.failed();
  ladder.failed();
  ladder.step(at);
  return ladder;
}

test("a transport is in doubt once it has failed twice in a row", () => {
  const ladder = new Ladder(["websocket", "events"]);
  ladder.failed();
  ladder.worked();
  ladder.failed();
  assert.equal(ladder.doubtful, false);
  ladder.failed();
  assert.equal(ladder.doubtful, true);
});

test("the only transport there is is never in doubt", () => {
  const ladder = new Ladder(["poll"]);
  for (let i = 0; i < 9; i += 1) ladder.failed();
  assert.equal(ladder.doubtful, false);
  assert.equal(ladder.current, "poll");
});

test("the next transport begins without doubt, and the last one is followed by the first", () => {
  const ladder = stepped(0);
  assert.deepEqual([ladder.current, ladder.doubtful], ["events", false]);
  ladder.step(0);
  assert.equal(ladder.current, "poll");
  ladder.step(0);
  assert.equal(ladder.current, "websocket");
});

test("a transport that was blocked is tried again after a minute, and has one attempt then", () => {
  const ladder = stepped(1000);
  ladder.lookUp(60_999);
  assert.equal(ladder.current, "events", "too early");
  ladder.lookUp(61_000);
  assert.deepEqual([ladder.current, ladder.doubtful], ["websocket", false]);
  ladder.failed();
  assert.equal(ladder.doubtful, true);
});

test("who is on the first rung has nowhere to look up to", () => {
  const ladder = new Ladder(["websocket", "events"]);
  ladder.lookUp(1e9);
  ladder.failed();
  assert.equal(ladder.doubtful, false);
});

test("another transport is tried only of a server that answers without it", async () => {
  begin();
  let answers = () => Promise.reject(new TypeError("Failed to fetch"));
  globalThis.fetch = () => answers();
  const opened = [];
  const session = new Session({
    endpoint: new Endpoint("ws://x"),
    room: "demo",
    backoff: new Backoff({ random: () => 0 }),
    open: (name, carried) => {
      opened.push(name);
      queueMicrotask(() => carried.closed(1006, ""));
      return { name, close: () => {} };
    },
  });
  session.start();
  for (let i = 0; i < 4; i += 1) await pass(1);
  assert.deepEqual([...new Set(opened.splice(0))], ["websocket"], "there is nobody at all");
  answers = async () => new Response("[]");
  for (let i = 0; i < 4; i += 1) await pass(1);
  assert.deepEqual(opened, ["events", "events", "poll", "poll"]);
  session.close();
});
