import assert from "node:assert/strict";
import { test } from "node:test";
import { advice } from "../../../signal/server/page/people.js";

const RELAY = { urls: ["turn:192.0.2.1:3478?transport=udp"] };
const HERE = { online: true, relayOnly: false };

function failed(link, context = HERE) {
  const usual = { state: "failed", heard: true, iceErrors: [], iceServers: [RELAY] };
  return advice({ seat: "p", link: { ...usual, ...link } }, context);
}

test("an open link with a seat needs no words", () => {
  assert.equal(advice({ seat: "p", link: { state: "connected" } }, HERE), "");
});

test("an open link without a seat is explained, unless we have none ourselves", () => {
  const member = { seat: null, link: { state: "connected" } };
  assert.match(advice(member, HERE), /still open/);
  assert.equal(advice(member, { ...HERE, online: false }), "");
});

test("who is away is said to be, and the link to them is not blamed", () => {
  const away = (state) => advice({ seat: "p", away: true, link: { state } }, HERE);
  assert.match(away("connected"), /still open/);
  assert.match(away("connecting"), /lost the server.*back/);
  assert.match(away("failed"), /lost the server.*back/);
  const us = { online: false, relayOnly: false };
  assert.equal(advice({ seat: "p", away: true, link: { state: "connected" } }, us), "");
});

test("a failure names its cause and what to try", () => {
  assert.match(failed({ heard: false }), /never answered.*reload/i);
  assert.match(failed({ iceErrors: [{ errorCode: 401, errorText: "Bad" }] }), /refused us \(401 Bad\)/);
  assert.match(failed({ iceServers: [] }), /offers no relay.*same network/);
  assert.match(failed({ iceServers: [] }, { online: true, relayOnly: true }), /switch it off/);
  const silent = { errorCode: 701, errorText: "", url: RELAY.urls[0] };
  assert.match(failed({ iceErrors: [silent] }), /may block UDP/);
  assert.match(failed({}), /another network/);
});

test("a peer that doesn't answer is told apart from one that takes its time", () => {
  const connecting = (silent) => advice({ seat: "p", link: { state: "connecting", silent } }, HERE);
  assert.equal(connecting(false), "");
  assert.match(connecting(true), /No answer/);
});
