import assert from "node:assert/strict";
import { test } from "node:test";
import { Light } from "../../../signal/server/page/light.js";
import { OrderedTwin } from "../../../signal/server/page/twin.js";

const RTT_MS = 40;

test("without losses the twin is where the light is", () => {
  const twin = new OrderedTwin({ intervalMs: 10 });
  twin.push(0, "a", 0, RTT_MS);
  twin.push(10, "b", 0, RTT_MS);
  assert.equal(twin.read(10), "b");
  assert.equal(twin.stalledMs, 0);
});

test("a lost packet holds up all that follow until it was sent again", () => {
  const twin = new OrderedTwin({ intervalMs: 10 });
  twin.push(0, "a", 0, RTT_MS);
  twin.push(20, "c", 1, RTT_MS);
  twin.push(30, "d", 0, RTT_MS);
  assert.equal(twin.read(89), "a");
  assert.equal(twin.read(90), "d"); // 20 ms + 3 packets + one round trip
  assert.equal(twin.stalledMs, 70);
});

test("the twin keeps a bounded number of waiting positions", () => {
  const twin = new OrderedTwin();
  for (let i = 0; i < 10_000; i += 1) twin.push(i, i, 1, 1e9);
  assert.ok(twin.waiting.length <= 600);
});

test("a light doesn't wait: it is at the newest position, and a gap is marked in its trail", () => {
  const light = new Light();
  light.push(0, { x: 0, y: 0, n: 0 }, RTT_MS);
  light.push(50, { x: 1, y: 0, n: 4 }, RTT_MS);
  light.push(60, { x: 0.5, y: 0, n: 2 }, RTT_MS); // overtaken: out of date
  assert.deepEqual(light.position, { x: 1, y: 0 });
  assert.deepEqual(
    light.trail.map(({ lost, x }) => [lost, x]),
    [
      [false, 0],
      [true, 0.25],
      [true, 0.5],
      [true, 0.75],
      [false, 1],
    ],
  );
});

test("a trail is bounded, however many packets come or are lost", () => {
  const light = new Light();
  for (let i = 0; i < 1000; i += 1) light.push(i, { x: 0, y: 0, n: i * 50 }, RTT_MS);
  assert.ok(light.trail.length <= 150);
});
