// People on the page: what is said about a link, and when somebody is asked about it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { advice } from "../../../signal/server/page/people.js";
import { Person } from "../../../signal/server/page/person.js";

const HERE = { online: true };

/** Somebody as the SDK tells of them. */
function person({ name = "ben", ...peer } = {}) {
  const usual = { id: "k5qm3txw", metadata: { name }, state: "connected", away: false };
  return new Person({ ...usual, ...peer }, { hue: 0, now: 0 });
}

function adviceWith(diagnosis, state = "failed") {
  return advice(Object.assign(person({ state }), { diagnosis }), HERE);
}

test("an open link to somebody who has the server needs no words", () => {
  assert.equal(advice(person(), HERE), "");
});

test("who is away is said to be, and the link to them is not blamed", () => {
  const away = (state) => advice(person({ state, away: true }), HERE);
  assert.match(away("connected"), /still open/);
  assert.match(away("connecting"), /lost the server.*back/);
  assert.match(away("failed"), /lost the server.*back/);
  assert.equal(advice(person({ away: true }), { online: false }), "", "we may be away ourselves");
});

test("a failure is told as the diagnosis has it: what it is, and what to do", () => {
  const text = "this side: may only use a relay, but has none";
  assert.equal(
    adviceWith({ text, advice: "permit direct connections" }),
    "This side: may only use a relay, but has none. Permit direct connections.",
  );
  assert.equal(
    adviceWith({ text: "ben: never sent a description", advice: "" }),
    "ben: never sent a description.",
    "a name stays as it is",
  );
  assert.match(adviceWith(null), /No path was found/);
});

test("a link that takes its time says nothing before there is something to say", () => {
  assert.equal(adviceWith(null, "connecting"), "");
  assert.equal(adviceWith({ text: "It waits.", advice: "" }, "connecting"), "It waits.");
});

test("somebody without a name is called by the id", () => {
  assert.equal(person({ name: "\u200b" }).name, "peer k5qm");
});

test("it is asked at once why a link failed, and again after a while", () => {
  const ben = person({ state: "failed" });
  assert.equal(ben.isPuzzling(1), true);
  ben.askedAt = 1;
  assert.equal(ben.isPuzzling(10_000), false);
  assert.equal(ben.isPuzzling(10_002), true);
});

test("it is asked about a link that takes too long, but not about who is away", () => {
  const ben = person({ state: "connecting" });
  assert.equal(ben.isPuzzling(15_000), false);
  assert.equal(ben.isPuzzling(15_001), true);
  ben.peer.away = true;
  assert.equal(ben.isPuzzling(15_001), false);
});

test("a link that opens has no diagnosis any more, and its time counts anew when it is lost", () => {
  const ben = person();
  Object.assign(ben, { diagnosis: { text: "x", advice: "" }, askedAt: 5 });
  ben.update(60_000);
  assert.deepEqual([ben.greeted, ben.diagnosis], [true, null]);
  ben.peer.state = "connecting";
  ben.update(70_000);
  ben.update(80_000);
  assert.equal(ben.isPuzzling(85_000), false);
  assert.equal(ben.isPuzzling(85_001), true);
});
