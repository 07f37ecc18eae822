// What becomes of a room when its page goes, and when it comes back from the browser's memory.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Room } from "../build/room.js";
import { WELCOME, begin, last, pass, settle, sockets } from "./support.js";

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
async function seated() {
  const room = new Room("ws://x", "demo", { transports: ["websocket"] });
  const told = [];
  room.on("connection", ({ name }) => told.push(name));
  room.on("rejoined", ({ peer, before }) => told.push(["rejoined", peer, before]));
  room.on("ended", (error) => told.push(["ended", error?.code]));
  await take();
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
