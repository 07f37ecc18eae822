import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../signal/server/page/backoff.js";
import { mayReconnect } from "../../../signal/server/page/signal.js";
import { statusText } from "../../../signal/server/page/status.js";

test("pauses double up to the limit, and start again after a success", () => {
  const backoff = new Backoff({ firstMs: 500, maxMs: 4000, random: () => 1 });
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => backoff.next()),
    [500, 1000, 2000, 4000, 4000],
  );
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

test("close codes decide about coming back as the protocol says", () => {
  for (const code of [1001, 1006, 1011, 4000, 4001, 4002, 4003])
    assert.equal(mayReconnect(code), true, code);
  for (const code of [1000, 1007, 1009, 4100, 4101, 4199]) assert.equal(mayReconnect(code), false, code);
});

test("states are told in plain words", () => {
  assert.equal(statusText({ name: "online" }, 0), "Connected to the server");
  assert.equal(
    statusText({ name: "waiting", code: 4003, text: "" }, 2),
    "The server is restarting. Your 2 open links work on.",
  );
  assert.equal(
    statusText({ name: "waiting", code: 1006, text: "" }, 0),
    "No connection to the server.",
  );
  assert.equal(
    statusText({ name: "ended", code: 0, text: "the room is full" }, 0),
    "The server says: the room is full.",
  );
});
