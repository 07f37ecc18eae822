// What a room does when its page goes, and comes back from the browser's memory; and what it puts off
// while the server is away. Connections are played here, in virtual time.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Room } from "../build/room.js";
import { WELCOME, begin, connections, last, pass, settle, sockets } from "./support.js";

/** What is told to the page. */
let page = new EventTarget();

beforeEach(() => {
  begin();
  page = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener"])
    globalThis[name] = page[name].bind(page);
});

const hide = () => page.dispatchEvent(new Event("pagehide"));
const show = (persisted) =>
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted }));

/** A room whose page has a seat in it, and what it tells. */
async function seated(welcome = WELCOME) {
  const room = new Room("ws://x", "demo", { transports: ["websocket"] });
  const told = [];
  room.on("connection", ({ name }) => told.push(name));
  room.on("rejoined", ({ peer, before }) => told.push(["rejoined", peer, before]));
  room.on("ended", (error) => told.push(["ended", error?.code]));
  await take(welcome);
  return { room, told };
}

async function take(welcome = WELCOME) {
  await settle();
  last().opens();
  last().says(welcome);
  await settle();
}

test("who comes back from the browser's memory has another seat in the same room", async () => {
  const { room, told } = await seated();
  hide();
  assert.deepEqual(last().take().at(-1).type, "leave");
  assert.equal(room.connection.name, "ended");
  show(true);
  await take({ ...WELCOME, peer: "again" });
  assert.equal(room.peerId, "again");
  assert.deepEqual(told.slice(-4), ["ended", "connecting", "online", ["rejoined", null, "me"]]);
});

test("who was about to join when the page went joins when it comes back", async () => {
  const room = new Room("ws://x", "demo", { transports: ["websocket"] });
  await settle();
  hide();
  show(true);
  await take();
  assert.equal(await room.joined, room);
});

test("a page that is loaded, or a room that was left, isn't taken up again", async () => {
  const { room } = await seated();
  const { length } = sockets;
  show(false);
  await settle();
  assert.equal(sockets.length, length, "the first time that the page is shown");
  room.close();
  hide();
  show(true);
  await pass(60_000);
  assert.equal(sockets.length, length);
  await assert.rejects(room.setMetadata({ name: "ada" }), { code: "ended" });
});

test("a room that the server closed stays so when the page comes back", async () => {
  const { room, told } = await seated();
  last().breaks(4103);
  assert.deepEqual(told.at(-1), ["ended", "ended"]);
  hide();
  show(true);
  await pass(60_000);
  assert.equal(sockets.length, 1);
  assert.equal(room.connection.code, 4103);
});

test("what the others are told is told with the next seat if there is none yet", async () => {
  const room = new Room("ws://x", "demo", { transports: ["websocket"], metadata: { name: "a" } });
  await room.setMetadata({ name: "ada" });
  await settle();
  last().opens();
  assert.deepEqual(last().take()[0].metadata, { name: "ada" });
  room.close();
});

test("links are made anew for the relay only once there is a server to do that by", async () => {
  const ada = { peer: "ada", metadata: {}, polite: true, offers: false };
  const { room } = await seated({ ...WELCOME, members: [ada] });
  const policies = () => connections.map(({ configuration }) => configuration.iceTransportPolicy);
  connections[0].connects();
  last().breaks();
  room.setRelayOnly(true);
  assert.equal(room.relayOnly, true);
  assert.deepEqual(policies(), ["all"], "the link works on");
  room.retryNow();
  await settle();
  last().opens();
  last().says({ type: "resumed", ack: 0 });
  await settle();
  assert.deepEqual(policies(), ["all", "relay"]);
  room.setRelayOnly(false);
  assert.deepEqual(policies(), ["all", "relay", "all"]);
  room.close();
});

test("links that outlive their seats are made anew when it is known who sits where", async () => {
  const ada = { peer: "ada", metadata: {}, polite: true, offers: false };
  const { room } = await seated({ ...WELCOME, members: [ada] });
  const [peer] = room.peers.values();
  connections[0].connects();
  last().breaks();
  room.setRelayOnly(true);
  room.retryNow();
  await settle();
  last().opens();
  last().says({ type: "error", code: "no_such_session", text: "", retry: false });
  last().says({ ...WELCOME, peer: "again", members: [ada] });
  await settle();
  assert.equal(room.peers.get("ada"), peer, "it is still the same");
  assert.deepEqual([connections.length, peer.state], [2, "connecting"]);
  room.close();
});

test("metadata that is refused isn't told with the next seat", async () => {
  const { room } = await seated();
  await settle();
  last().take();
  const told = room.setMetadata({ name: "too long" });
  const { id } = last()
    .take()
    .find(({ type }) => type === "metadata");
  const text = "The metadata are too large.";
  last().says({ type: "error", id, code: "bad_metadata", text, retry: false, ack: id });
  await assert.rejects(told, { code: "bad_metadata" });
  assert.deepEqual(room.metadata, {});
  hide();
  show(true);
  await settle();
  last().opens();
  assert.deepEqual(last().take()[0].metadata, {});
  room.close();
});
