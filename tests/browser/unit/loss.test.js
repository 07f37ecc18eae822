import assert from "node:assert/strict";
import { test } from "node:test";
import { Arrivals, LossCounter, REORDER_MAX, WINDOW } from "../../../signal/server/page/loss.js";

function counted(numbers) {
  const counter = new LossCounter();
  for (const n of numbers) counter.push(n);
  return counter;
}

const run = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

test("a stream without holes has lost nothing", () => {
  const counter = counted(run(1000, 1999));
  assert.equal(counter.received, 1000);
  assert.equal(counter.lost, 0);
  assert.equal(counter.share, 0);
});

test("a hole is a loss once it is too old to be filled", () => {
  const counter = counted([0, 1, 2, 4]);
  assert.equal(counter.lost, 0);
  for (const n of run(5, 3 + REORDER_MAX)) counter.push(n);
  assert.equal(counter.lost, 1);
});

test("a packet that was overtaken is late, not lost", () => {
  const counter = counted([0, 1, 3]);
  assert.equal(counter.push(2), null);
  for (const n of run(4, 100)) counter.push(n);
  assert.equal(counter.lost, 0);
  assert.equal(counter.late, 1);
  assert.equal(counter.received, 101);
});

test("a packet that comes after it was given up for lost is taken back", () => {
  const counter = counted([0, 1, ...run(3, 50)]);
  assert.equal(counter.lost, 1);
  counter.push(2);
  assert.equal(counter.lost, 0);
  assert.equal(counter.share, 0);
});

test("a duplicate counts for nothing", () => {
  const counter = counted([0, 1, 2, 2, 1]);
  assert.equal(counter.duplicates, 2);
  assert.equal(counter.received, 3);
});

test("skipped numbers are told with the packet after them", () => {
  const counter = counted([7]);
  assert.equal(counter.push(8), 0);
  assert.equal(counter.push(12), 3);
});

test("the share is of the newest numbers only", () => {
  const counter = counted(run(0, 999).filter((n) => n >= 500 || n % 2 === 0));
  assert.ok(Math.abs(counter.share - 49 / (WINDOW - REORDER_MAX)) < 0.02, `${counter.share}`);
  for (const n of run(1000, 3000)) counter.push(n);
  assert.equal(counter.share, 0);
  assert.equal(counter.lost, 250);
});

test("a sender that starts again is a new stream, not a million losses", () => {
  const counter = counted([1_000_000, 1_000_001, 0, 1, 2]);
  assert.equal(counter.lost, 0);
  assert.equal(counter.received, 5);
});

test("a hostile number costs no time and no memory", () => {
  const counter = counted([0, Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER]);
  assert.equal(counter.seen.length, WINDOW);
});

test("arrivals are counted in their slice and forgotten after the last", () => {
  const arrivals = new Arrivals({ slices: 5, sliceMs: 100 });
  arrivals.push(50);
  arrivals.push(150, 2);
  assert.deepEqual(arrivals.read(299).slice(-2), [
    { came: 1, missed: 0 },
    { came: 1, missed: 2 },
  ]);
  assert.deepEqual(arrivals.read(10_000), Array(4).fill({ came: 0, missed: 0 }));
});

test("the rate is that of the last second", () => {
  const arrivals = new Arrivals();
  for (let i = 0; i < 180; i += 1) arrivals.push(i * (1000 / 60));
  assert.ok(Math.abs(arrivals.rate(3000) - 60) <= 1);
  assert.equal(arrivals.rate(5000), 0);
});
