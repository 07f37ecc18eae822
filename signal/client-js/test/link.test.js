// One connection to another peer: who offers, what becomes of collisions, and when another path is
// looked for. The connection is played here, in virtual time.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Link } from "../build/link.js";
import { begin, connections, pass, settle } from "./support.js";

beforeEach(begin);

/** A link, what it sends and tells, and its connection. */
function link(options = {}) {
  const sent = [];
  const told = [];
  const broken = [];
  const made = new Link({
    polite: false,
    offers: false,
    begins: false,
    rtc: {},
    signal: (data) => sent.push(data) > 0,
    changed: () => told.push(made.state),
    moved: () => {},
    track: () => {},
    broken: (error) => broken.push(error.message),
    ...options,
  });
  return { link: made, pc: connections.at(-1), sent, told, broken };
}

/** One that has offered and is connected. */
async function connected(options = {}) {
  const made = link({ offers: true, ...options });
  await settle();
  made.link.handleSignal({ description: { type: "answer", sdp: "theirs" } });
  await settle();
  made.pc.connects();
  made.sent.splice(0);
  return made;
}

const offer = { description: { type: "offer", sdp: "theirs" } };
const candidate = (text) => ({ candidate: { candidate: text } });
const types = (sent) => sent.map(({ description }) => description?.type ?? "candidate");

test("only the side that shall offer begins, and the other one answers", async () => {
  const [one, other] = [link({ offers: true }), link()];
  await settle();
  assert.deepEqual(types(one.sent), ["offer"]);
  assert.deepEqual(types(other.sent), []);
  assert.equal(one.sent[0].link, one.link.id, "signals name their connection");
  other.link.handleSignal(one.sent[0]);
  await settle();
  assert.deepEqual(types(other.sent), ["answer"]);
  one.link.handleSignal(other.sent[0]);
  await settle();
  assert.equal(one.pc.signalingState, "stable");
  assert.deepEqual([one.link.offered, one.link.answered], [true, true]);
});

test("who makes a closed link anew begins, whatever its role", async () => {
  const { sent } = link({ begins: true });
  await settle();
  assert.deepEqual(types(sent), ["offer"]);
});

test("of colliding offers that of the polite side gives way", async () => {
  for (const polite of [false, true]) {
    const { link: one, pc, sent } = link({ offers: true, polite });
    await settle();
    one.handleSignal(offer);
    await settle();
    assert.deepEqual(types(sent), polite ? ["offer", "answer"] : ["offer"]);
    assert.equal(pc.remoteDescription !== null, polite);
  }
});

test("an offer collides with one that is only being made, too", async () => {
  const { link: one, pc } = link({ offers: true });
  pc.setLocalDescription = () => new Promise(() => {});
  await settle();
  assert.equal(pc.signalingState, "stable");
  one.handleSignal(offer);
  await settle();
  assert.equal(pc.remoteDescription, null);
});

test("candidates wait for their description, in order and not without end", async () => {
  const { link: one, pc } = link();
  for (let n = 0; n < 70; n += 1) one.handleSignal(candidate(`c${n}`));
  one.handleSignal({ candidate: null });
  await settle();
  assert.equal(pc.candidates.length, 0);
  one.handleSignal(offer);
  await settle();
  assert.equal(pc.candidates.length, 64);
  assert.equal(pc.candidates[63].candidate, "c63");
  one.handleSignal({ candidate: null });
  await settle();
  assert.equal(pc.candidates.at(-1), undefined, "the end of them");
});

test("a candidate that can't be used is told, unless its offer was ignored", async () => {
  const ignoring = link({ offers: true });
  await settle();
  ignoring.pc.remoteDescription = { type: "answer", sdp: "of before" };
  ignoring.link.handleSignal(offer);
  ignoring.link.handleSignal(candidate("bad"));
  await settle();
  assert.deepEqual(ignoring.broken, []);
  const answering = link();
  answering.link.handleSignal(offer);
  answering.link.handleSignal(candidate("bad"));
  await settle();
  assert.deepEqual(answering.broken, ["no such ufrag"]);
});

test("a link is connected once its reliable channel is open", async () => {
  const { link: one, pc, told } = link({ offers: true });
  pc.becomes("connecting");
  pc.becomes("connected");
  assert.deepEqual(told, []);
  assert.equal(one.isAlive, false);
  pc.connects();
  assert.deepEqual([told, one.isAlive], [["connected"], true]);
});

test("an interrupted link has patience, the polite side more of it", async () => {
  for (const [polite, patience] of [
    [false, 2000],
    [true, 3000],
  ]) {
    const { link: one, pc } = await connected({ polite });
    pc.becomes("disconnected");
    await pass(patience - 1);
    assert.deepEqual([one.state, one.isAlive, pc.restarts], ["interrupted", true, 0]);
    await pass(1);
    assert.equal(pc.restarts, 1);
    one.close();
  }
});

test("a link that comes back by itself isn't restarted", async () => {
  const { pc } = await connected();
  pc.becomes("disconnected");
  await pass(1999);
  pc.becomes("connected");
  await pass(60_000);
  assert.equal(pc.restarts, 0);
});

test("a failed link is restarted after growing pauses until it works", async () => {
  const { link: one, pc } = await connected();
  pc.becomes("failed");
  const pauses = [];
  for (let ms = 0, count = 0; pauses.length < 8; ms += 1000) {
    await pass(1000);
    if (pc.restarts === count) continue;
    count = pc.restarts;
    pauses.push((ms + 1000) / 1000 - pauses.reduce((sum, pause) => sum + pause, 0));
  }
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
  pc.becomes("connected");
  pc.becomes("failed");
  const { restarts } = pc;
  await pass(1000);
  assert.equal(pc.restarts, restarts + 1);
  one.close();
  await pass(600_000);
  assert.equal(pc.restarts, restarts + 1, "nothing after it was closed");
});

test("patience begins anew for who asks for another path", async () => {
  const { link: one, pc } = await connected();
  pc.becomes("failed");
  await pass(60_000);
  const { restarts } = pc;
  one.retry();
  assert.equal(pc.restarts, restarts + 1, "at once");
  pc.becomes("failed");
  await pass(1000);
  assert.equal(pc.restarts, restarts + 2);
  one.close();
});

test("what waits for an answer is said again to a new seat, by its new role", async () => {
  const { link: one, pc, sent } = link({ offers: true });
  await settle();
  const [{ description }] = sent;
  one.seat({ polite: true, offers: false });
  assert.deepEqual(sent[1].description, description);
  one.handleSignal(offer);
  await settle();
  assert.equal(pc.remoteDescription.sdp, "theirs", "it gives way now");
});

test("a channel that the other side closes ends the link, once", async () => {
  const { link: one, pc, told } = await connected();
  pc.ends();
  assert.deepEqual([one.state, told], ["closed", ["connected", "closed"]]);
  one.handleSignal(offer);
  await settle();
  assert.notEqual(pc.remoteDescription?.type, "offer", "it takes nothing more");
});

test("a link whose channels the browser gives up is made anew, not closed", async () => {
  const spent = [];
  const { link: one, pc, told } = await connected({ attempts: 2, spent: (n) => spent.push(n) });
  pc.becomes("failed");
  pc.ends();
  assert.deepEqual([one.state, told], ["failed", ["connected", "failed"]]);
  await pass(1000);
  assert.deepEqual([spent, pc.restarts], [[1], 0], "by another link, after the usual pause");
  one.close();
  const vain = link({ attempts: 2, spent: (n) => spent.push(n) });
  vain.pc.becomes("failed");
  vain.pc.ends();
  await pass(3999);
  assert.deepEqual(spent, [1]);
  await pass(1);
  assert.deepEqual(spent, [1, 3], "the pauses grow from link to link");
  vain.link.close();
});

/** Makes a path of a connection: by a relay, or from an own address. */
function takes(pc, local) {
  const pair = { selected: true, localCandidateId: "L", remoteCandidateId: "R" };
  pc.stats = new Map([
    ["P", { type: "candidate-pair", ...pair }],
    ["L", { type: "local-candidate", candidateType: local }],
    ["R", { type: "remote-candidate", candidateType: "host" }],
  ]);
}

const servers = [{ urls: "turn:x", username: "new" }];

test("a path by the relay moves to new credentials, another one stays", async () => {
  for (const [local, restarts] of [
    ["relay", 1],
    ["host", 0],
  ]) {
    const { link: one, pc } = link();
    one.handleSignal(offer);
    await settle();
    pc.connects();
    takes(pc, local);
    one.setIceServers(servers);
    await settle();
    assert.deepEqual(pc.getConfiguration().iceServers, servers);
    assert.equal(pc.restarts, restarts, local);
    one.close();
  }
});

test("who is asked for another path looks for one, but not without end", async () => {
  const { link: one, pc } = await connected();
  for (let n = 0; n < 3; n += 1) one.handleAsked();
  assert.equal(pc.restarts, 1);
  await pass(4000);
  one.handleAsked();
  assert.equal(pc.restarts, 2);
  one.close();
  one.handleAsked();
  assert.equal(pc.restarts, 2);
});

test("who chooses the path asks the other side to move, and does it if nothing comes of that", async () => {
  for (const comes of [true, false]) {
    let asked = 0;
    const { link: one, pc } = await connected({ askRestart: () => (asked += 1) });
    takes(pc, "relay");
    one.setIceServers(servers);
    await settle();
    assert.deepEqual([asked, pc.restarts], [1, 0]);
    await pass(500);
    if (comes) one.handleSignal(offer);
    await settle();
    await pass(500);
    assert.equal(pc.restarts, comes ? 0 : 1);
    one.close();
  }
});

test("a description that can't be sent is told, a candidate isn't", async () => {
  const { pc, broken } = link({ offers: true, signal: () => false });
  await settle();
  pc.onicecandidate({ candidate: null });
  assert.equal(broken.length, 1);
  assert.match(broken[0], /description/);
});
