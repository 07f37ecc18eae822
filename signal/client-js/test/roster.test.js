// Who is who when members lose their seats and come back on others: links outlive seats.
// Connections are played here, in virtual time.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Roster } from "../build/roster.js";
import { begin, connections, pass, settle } from "./support.js";

beforeEach(begin);

const member = (peer, more = {}) => ({ peer, metadata: {}, polite: true, offers: false, ...more });

/** A room in which we are `me`; what it sends to whom, and what it tells. */
function room({ linksMax = 8, rtc = () => ({}) } = {}) {
  const sent = [];
  const told = [];
  const roster = new Roster({
    linksMax,
    rtc,
    signal: (to, data) => sent.push({ to, ...data }) > 0,
    report: () => {},
    diagnose: () => Promise.reject(new Error("nobody asks")),
    joined: (peer) => {
      told.push(["joined", peer.id]);
      peer.on("unseated", (reason) => told.push(["unseated", peer.id, reason]));
    },
    left: (peer, reason) => told.push(["left", peer.id, reason]),
    rejoined: (peer, before) => told.push(["rejoined", before, peer.id]),
  });
  return { roster, sent, told };
}

/** One with an open link to each of these. */
function linked(ids, options) {
  const made = room(options);
  made.roster.welcome("me", ids.map((id) => member(id)));
  for (const connection of connections) connection.connects();
  made.told.splice(0);
  return made;
}

/** What a peer says over its link about where it sits. */
function claims(connection, seat) {
  connection.channel("heliograph").says(JSON.stringify({ seat }));
}

/** Where we have said over a link that we sit. */
function claimed(connection) {
  const said = connection.channel("heliograph").sent.map((text) => JSON.parse(text).seat);
  return said.filter(Boolean);
}

const ids = ({ peers }) => [...peers.keys()];

test("members get links, and who leaves takes the link along", () => {
  const { roster, told } = room();
  roster.welcome("me", [member("ada")]);
  roster.joined(member("ben"));
  roster.joined(member("ben"));
  assert.deepEqual(told, [["joined", "ada"], ["joined", "ben"]]);
  assert.equal(connections.length, 2);
  connections[0].connects();
  roster.left("ada", "left");
  assert.deepEqual(told.slice(2), [["left", "ada", "left"]]);
  assert.equal(connections[0].connectionState, "closed");
  assert.deepEqual(ids(roster), ["ben"]);
});

test("a lost seat leaves the link open, and whoever claims another one is the same peer", () => {
  const { roster, told } = linked(["ada"]);
  const ada = roster.peers.get("ada");
  roster.left("ada", "vanished");
  assert.deepEqual([ada.hasSeat, ada.away, ada.isAlive], [false, true, true]);
  claims(connections[0], "ada-2");
  roster.joined(member("ada-2", { offers: true }));
  assert.deepEqual(told, [
    ["unseated", "ada", "vanished"],
    ["rejoined", "ada", "ada-2"],
  ]);
  assert.equal(roster.peers.get("ada-2"), ada);
  assert.deepEqual([ada.hasSeat, ada.away, ids(roster)], [true, false, ["ada-2"]]);
  assert.equal(connections.length, 1, "no new connection");
});

test("a claim may come after the member, whose signals wait for it", async () => {
  const { roster, told } = linked(["ada"]);
  const ours = connections[0];
  roster.signal("ada", { candidate: null, link: "theirs" });
  ours.becomes("disconnected");
  roster.left("ada", "lost");
  roster.joined(member("ada-2"));
  roster.signal("ada-2", { description: { type: "offer", sdp: "another" }, link: "other" });
  roster.signal("ada-2", { description: { type: "offer", sdp: "the link's" }, link: "theirs" });
  await settle();
  assert.equal(ours.remoteDescription, null, "nobody knows yet who that is");
  claims(ours, "ada-2");
  await settle();
  assert.deepEqual(told.at(-1), ["rejoined", "ada", "ada-2"]);
  assert.equal(ours.remoteDescription.sdp, "the link's", "what is for another link is dropped");
  await pass(10_000);
  assert.equal(connections.length, 1);
});

test("a newcomer who is nobody's return gets a link after two seconds", async () => {
  const { roster, told } = linked(["ada"]);
  roster.left("ada", "lost");
  roster.joined(member("ben"));
  roster.signal("ben", { description: { type: "offer", sdp: "ben's" }, link: "b" });
  await pass(1999);
  assert.equal(connections.length, 1);
  await pass(1);
  assert.equal(connections[1].remoteDescription.sdp, "ben's");
  assert.deepEqual(told.at(-1), ["joined", "ben"]);
  assert.deepEqual(ids(roster), ["ada", "ben"]);
});

test("newcomers wait no longer once nobody is missing", () => {
  const { roster, told } = linked(["ada"]);
  roster.left("ada", "lost");
  roster.joined(member("ben"));
  connections[0].ends();
  assert.deepEqual(told.slice(1), [["left", "ada", "lost"], ["joined", "ben"]]);
});

test("who has said where it sits now isn't missing: newcomers needn't wait for it", () => {
  const { roster, told } = linked(["ada"]);
  claims(connections[0], "ada-2");
  roster.left("ada", "lost");
  roster.joined(member("ben"));
  assert.deepEqual(told.slice(1), [["joined", "ben"]]);
});

test("what happens to a newcomer while it waits is true when it is told of", async () => {
  const { roster } = linked(["ada"]);
  roster.left("ada", "lost");
  roster.joined(member("ben"));
  roster.metadata("ben", { name: "Ben" });
  roster.away("ben", true);
  await pass(2000);
  const ben = roster.peers.get("ben");
  assert.deepEqual([ben.metadata, ben.away], [{ name: "Ben" }, true]);
});

test("a newcomer who leaves while it waits was never there", async () => {
  const { roster, told } = linked(["ada"]);
  roster.left("ada", "lost");
  roster.joined(member("ben"));
  roster.joined(member("carol"));
  roster.left("ben", "left");
  roster.resync([]);
  await pass(5000);
  assert.deepEqual(told, [["unseated", "ada", "lost"]]);
});

test("who says so before it leaves its seat keeps the link, else leaving is leaving", () => {
  const { roster, told } = linked(["ada", "ben"]);
  claims(connections[0], "ada-2");
  roster.left("ada", "left");
  roster.left("ben", "left");
  assert.deepEqual(told, [["unseated", "ada", "left"], ["left", "ben", "left"]]);
  roster.joined(member("ada-2"));
  assert.deepEqual(told.at(-1), ["rejoined", "ada", "ada-2"]);
});

test("on another seat of ours we say over open links where we sit", async () => {
  const { roster, told } = linked(["ada", "ben"]);
  connections[1].ends();
  roster.welcome("me-2", [member("ada-2")]);
  assert.deepEqual([claimed(connections[0]), claimed(connections[1])], [["me-2"], []]);
  assert.deepEqual(told, [["unseated", "ada", "lost"], ["left", "ben", "lost"]]);
  claims(connections[0], "ada-2");
  assert.deepEqual(told.at(-1), ["rejoined", "ada", "ada-2"]);
  await pass(5000);
  assert.equal(connections.length, 2);
});

test("an open link is bound to a member with the same id at once", () => {
  const { roster, told } = linked(["ada", "ben"]);
  const ada = roster.peers.get("ada");
  roster.welcome("me-2", [member("ada"), member("ben")]);
  assert.equal(roster.peers.get("ada"), ada);
  assert.deepEqual([ada.hasSeat, connections.length], [true, 2]);
  assert.ok(told.every(([what]) => what === "unseated"), "nobody is anybody else");
});

test("a claim drops an attempt beside the link that works, but no other link that works", () => {
  const { roster, told } = linked(["ada"]);
  roster.joined(member("ben"));
  connections[1].connects();
  claims(connections[0], "ben");
  assert.deepEqual(told.slice(1), [], "ben is linked: whoever says so isn't ben");
  roster.joined(member("ada-2"));
  claims(connections[0], "ada-2");
  assert.deepEqual(told.slice(2), [["left", "ada-2", "replaced"], ["rejoined", "ada", "ada-2"]]);
  assert.equal(connections[2].connectionState, "closed");
});

test("a claim on a seat whose link works counts once that link is closed", () => {
  const { roster, told } = linked(["ada", "ben"]);
  const ada = roster.peers.get("ada");
  roster.left("ada", "lost");
  claims(connections[0], "ben");
  assert.equal(roster.peers.get("ben").connection, connections[1]);
  connections[1].ends();
  assert.deepEqual(told.slice(1), [["left", "ben", "replaced"], ["rejoined", "ada", "ben"]]);
  assert.equal(roster.peers.get("ben"), ada);
});

test("more members than links may be made are there, but not linked until asked for", () => {
  const { roster } = room({ linksMax: 1 });
  roster.welcome("me", [member("ada"), member("ben")]);
  const ben = roster.peers.get("ben");
  assert.deepEqual([ben.state, connections.length], ["unlinked", 1]);
  ben.restart();
  assert.deepEqual([ben.state, connections.length], ["connecting", 2]);
});

test("a resync leaves who is there, and lets go and takes in who isn't and wasn't", () => {
  const { roster, told } = linked(["ada", "ben"]);
  const ada = roster.peers.get("ada");
  connections[1].ends();
  roster.resync([member("ada", { metadata: { name: "Ada" }, away: true }), member("carol")]);
  assert.deepEqual(told, [["left", "ben", "lost"], ["joined", "carol"]]);
  assert.deepEqual([ada.metadata, ada.away, ada.hasSeat], [{ name: "Ada" }, true, true]);
});

test("links are made anew only where other kinds of paths are wanted", async () => {
  let iceTransportPolicy = "all";
  const { roster, sent } = linked(["ada", "ben"], { rtc: () => ({ iceTransportPolicy }) });
  const [ada, ben] = roster.peers.values();
  roster.left("ben", "lost");
  for (const peer of [ada, ben]) peer.renew();
  assert.equal(connections.length, 2, "they are as they are wanted");
  iceTransportPolicy = "relay";
  for (const peer of [ada, ben]) peer.renew();
  assert.equal(connections.length, 3, "without a seat there is nobody to make one with");
  assert.equal(connections[0].connectionState, "closed");
  await settle();
  assert.equal(sent.at(-1).to, "ada");
  assert.equal(sent.at(-1).description.type, "offer", "whoever wants it begins");
  claims(connections[1], "ben-2");
  roster.joined(member("ben-2"));
  assert.equal(connections.length, 4, "ben's is made anew on the new seat");
});

test("messages of the standard channels wait for the link that is made anew", () => {
  let iceTransportPolicy = "all";
  const { roster } = linked(["ada"], { rtc: () => ({ iceTransportPolicy }) });
  const ada = roster.peers.get("ada");
  iceTransportPolicy = "relay";
  ada.renew();
  ada.reliable.send("in between");
  connections[1].connects();
  assert.deepEqual(connections[1].channel("reliable").sent, ["in between"]);
});

test("when we leave, all are told to have left and nothing goes on", async () => {
  const { roster, told } = linked(["ada", "ben"]);
  roster.left("ada", "lost");
  roster.joined(member("carol"));
  roster.close();
  assert.deepEqual(told.slice(1), [["left", "ada", "left"], ["left", "ben", "left"]]);
  await pass(10_000);
  assert.deepEqual([ids(roster), connections.length], [[], 2]);
});
