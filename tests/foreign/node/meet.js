// Two peers meet by their relayed candidates only and talk over two data channels, one of which may
// lose messages. Prints `ok` at the end.
//
// usage: node meet.js LIBRARY LIBRARY URL USERNAME PASSWORD
//
// LIBRARY   werift, wrtc or node-datachannel: the file beside this one; the first one offers
// URL       of the TURN server: `turn:127.0.0.1:3478?transport=tcp`

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

const MESSAGES = 50;
const LOSSY = { ordered: false, maxRetransmits: 0 };

const [offerer, answerer, urls, username, credential] = process.argv.slice(2);
const libraries = [await import(`./${offerer}.js`), await import(`./${answerer}.js`)];
const peers = libraries.map((library) => library.connect({ urls, username, credential }));

const reliable = peers[0].createDataChannel("reliable");
const lossy = peers[0].createDataChannel("lossy", LOSSY);
const answered = channelsOf(peers[1]);
await shakeHands(...peers);
await until("the channels are open", () => answered.size === 2 &&
  [reliable, lossy, ...answered.values()].every(({ readyState }) => readyState === "open"));

await exchange(tellAll, reliable, answered.get("reliable"));
await exchange(tellSome, lossy, answered.get("lossy"));
for (const peer of peers) {
  assert.deepEqual(await selectedTypes(peer), ["relay", "relay"]);
}
for (const peer of peers) await peer.close();
console.log("ok");
process.exit(0); // Libraries with threads of their own don't let go.

/** The channels that the other side makes, by label. */
function channelsOf(peer) {
  const channels = new Map();
  peer.ondatachannel = ({ channel }) => channels.set(channel.label, channel);
  return channels;
}

/** Offer and answer, each with all candidates of its side. */
async function shakeHands(offering, answering) {
  await offering.setLocalDescription(await offering.createOffer());
  await answering.setRemoteDescription(await gathered(offering));
  await answering.setLocalDescription(await answering.createAnswer());
  await offering.setRemoteDescription(await gathered(answering));
}

/** The local description with its candidates: relayed ones, and nothing else. */
async function gathered(peer) {
  await until("candidates are gathered", () => peer.iceGatheringState === "complete");
  const { type, sdp } = peer.localDescription;
  const types = [...sdp.matchAll(/^a=candidate:.* typ (\w+)/gm)].map(([, word]) => word);
  assert.ok(types.length > 0, "no relayed candidate");
  assert.ok(types.every((word) => word === "relay"), `not relay only: ${types}`);
  return { type, sdp };
}

/** Both sides talk at the same time. */
async function exchange(tell, one, other) {
  await Promise.all([tell(one, other), tell(other, one)]);
}

/** All messages at once; each of them arrives, in order. */
async function tellAll(from, to) {
  const came = listen(to);
  const messages = Array.from({ length: MESSAGES }, (_, number) => message(number));
  for (const text of messages) from.send(text);
  await until("every message came", () => came.length >= MESSAGES);
  assert.deepEqual(came, messages);
}

/** Messages, until enough of them arrived, each once. */
async function tellSome(from, to) {
  const came = listen(to);
  const messages = new Set();
  while (came.length < MESSAGES) {
    assert.ok(messages.size < 100 * MESSAGES, "too many messages were lost");
    const text = message(messages.size);
    messages.add(text);
    from.send(text);
    await sleep(5);
  }
  assert.equal(new Set(came).size, came.length, "a message came twice");
  assert.ok(came.every((text) => messages.has(text)), "a message came that nobody sent");
}

function listen(channel) {
  const came = [];
  channel.onmessage = ({ data }) => came.push(String(data));
  return came;
}

/** Of every length: a stream pads what isn't a multiple of four. */
function message(number) {
  return `message ${number} ` + "x".repeat((number * 17) % 1000);
}

/** The types of the local and the remote candidate that are in use. */
async function selectedTypes(peer) {
  const stats = await peer.getStats();
  const transport = [...stats.values()].find(({ type }) => type === "transport");
  const pair = stats.get(transport.selectedCandidatePairId);
  return [pair.localCandidateId, pair.remoteCandidateId].map((id) => stats.get(id).candidateType);
}

async function until(what, holds) {
  for (let waited_ms = 0; !holds(); waited_ms += 10) {
    assert.ok(waited_ms < 30_000, `waited in vain until ${what}`);
    await sleep(10);
  }
}
