// What links of the SDK live through, in real browsers: both sides negotiating at once, a server that
// goes and comes back, a network that changes. Credentials that expire: long/expiry.test.js.

import assert from "node:assert/strict";
import { enter } from "./sdk.js";
import { scenarioOfTwo, startServer, withNetworks } from "./support.js";

const FAKE_MEDIA = () => {
  /** A video track of a drawing: no camera is needed. */
  window.track = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
    const context = canvas.getContext("2d");
    setInterval(() => context.fillRect(0, 0, Math.random() * 32, 9), 50);
    return canvas.captureStream(10).getVideoTracks()[0];
  };
};

/** Ada and Ben, linked. */
async function pair({ browser, second, server }, room, options = {}) {
  const ada = await enter(browser, server, room, { name: "ada", ...options });
  const ben = await enter(second, server, room, { name: "ben", ...options });
  const kind = options.relayOnly ? "relayed" : "direct";
  await Promise.all([ada.meets(1, kind), ben.meets(1, kind)]);
  return [ada, ben];
}

/** Nothing went wrong, and there is still the first connection. */
async function isUndisturbed(one) {
  const { events } = await one.sees();
  const bad = events.filter(([what]) => ["warning", "closed", "left", "refused"].includes(what));
  assert.deepEqual(bad, []);
  assert.equal(await one.run(() => window.links.made), 1);
}

/** Runs in the page: the state of the negotiation, and whether more pictures have come meanwhile. */
async function pictures(room) {
  const { connection } = [...room.peers.values()][0];
  const before = window.pictures;
  window.pictures = 0;
  for (const { type, framesDecoded } of (await connection.getStats()).values())
    if (type === "inbound-rtp") window.pictures += framesDecoded;
  const isSent = connection.getReceivers().some(({ track }) => window.tracks.includes(track));
  return { state: connection.signalingState, comes: isSent && window.pictures > before };
}

scenarioOfTwo(
  "both sides negotiate at once, fifty times, and tracks and channels work",
  async (stage) => {
    const [ada, ben] = await pair(stage, "glare", { init: FAKE_MEDIA });
    for (const one of [ada, ben]) {
      await one.run((room) => {
        const [peer] = room.peers.values();
        window.tracks = [];
        peer.on("track", ({ track }) => window.tracks.push(track));
      });
    }
    // Both begin at the same moment, as near as two pages can.
    const at = Date.now() + 1000;
    const glare = async (room, moment) => {
      const [peer] = room.peers.values();
      /** Adds a track or takes it back; at last it is there. */
      const toggle = (sent) => {
        if (sent) return void peer.removeTrack(sent);
        const track = window.track();
        peer.addTrack(track);
        return track;
      };
      const sleep = (ms) => new Promise((resume) => setTimeout(resume, ms));
      for (let turn = 0; turn < 50; turn += 1) {
        await sleep(moment + turn * 150 - Date.now());
        // Descriptions never get shorter: tracks come and go five times, paths all the time.
        if (turn % 10 === 0) window.sent = toggle(window.sent);
        else peer.restart();
      }
    };
    await Promise.all([ada.run(glare, at), ben.run(glare, at)]);
    for (const one of [ada, ben]) {
      await one.until("still linked", ({ peers }) => peers.length === 1, 1000);
      // Chromium forgets to unmute a track whose description was rolled back: pictures are what counts.
      await one.becomes(
        "stable, with pictures that come",
        { state: "stable", comes: true },
        pictures,
      );
      await one.run((room) => [...room.peers.values()][0].reliable.send("after it all"));
    }
    for (const one of [ada, ben]) {
      await one.until(
        "a message after it all",
        ({ came }) => came.reliable?.[0]?.[1] === "after it all",
      );
      await isUndisturbed(one);
    }
  },
);

for (const signal of ["SIGTERM", "SIGKILL"]) {
  scenarioOfTwo(
    `the server is restarted after ${signal} under open channels, and none closes`,
    (stage) => restart(stage, signal),
  );
}

async function restart(stage, signal) {
  const { server, add } = stage;
  const [ada, ben] = await pair(stage, "restart");
  const count = async (room) => {
    const [peer] = room.peers.values();
    const channels = [peer.reliable, peer.channel("moves", { lossy: true }), peer.channel("chat")];
    let n = 0;
    setInterval(() => {
      n += 1;
      for (const channel of channels) channel.send(String(n));
    }, 50);
  };
  await ada.run(count);
  const flows = (least) =>
    ben.until(`more than ${least} of each`, ({ came }) => {
      return ["reliable", "moves", "chat"].every((label) => came[label]?.length > least);
    });
  await flows(10);
  const ids = (await ada.sees()).peers.map(({ id }) => id);
  await server.end(signal);
  for (const one of [ada, ben]) {
    await one.until("the server is gone", ({ connection }) => connection.name !== "online");
  }
  const before = (await flows(0)).came.chat.length;
  await flows(before + 30);

  add(await startServer({ port: server.port }));
  for (const one of [ada, ben]) await one.run((room) => room.retryNow());
  for (const one of [ada, ben]) {
    const seen = await one.until("the same peer on another seat", ({ peers, events }) => {
      const [peer] = peers;
      const names = events.filter(([what]) => what === "rejoined").map(([, name]) => name);
      return peers.length === 1 && peer.state === "connected" && !peer.away && names.length === 2;
    });
    assert.ok(!ids.includes(seen.peers[0].id));
  }
  await flows(before + 60);
  const { came } = await ben.sees();
  for (const label of ["reliable", "chat"]) {
    const numbers = came[label].map(([, text]) => Number(text));
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => index + 1),
      `${label}: none lost, in order`,
    );
  }
  for (const one of [ada, ben]) await isUndisturbed(one);
  // The new seats are as good as the old ones: another path can be found, and tracks go.
  await ada.run((room) => [...room.peers.values()][0].restart());
  await ada.becomes("restarted", { restarts: 1, state: "stable" }, async (room) => {
    const [peer] = room.peers.values();
    const { restarts } = await peer.stats();
    return { restarts, state: peer.connection.signalingState };
  });
  // Who comes later meets both at once.
  const cleo = await enter(stage.second, server, "restart", { name: "cleo" });
  await cleo.meets(2);
}

scenarioOfTwo("another network is another path, within seconds", async (stage) => {
  // No relay: whatever goes by it would go on.
  const init = () => {
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(config) {
        super({ ...config, iceServers: [] });
      }
    };
  };
  const restarts = async (room) => (await [...room.peers.values()][0].stats()).restarts;
  const { browser, second } = stage;
  const [ada, ben] = await pair(stage, "switch", { init });
  await withNetworks(async ({ move }) => {
    await ada.run((room) => {
      const [peer] = room.peers.values();
      setInterval(() => peer.reliable.send("x"), 50);
    });
    const { came } = await ben.until("messages", (seen) => seen.came.reliable?.length > 5);
    assert.ok(came.reliable.length > 0);
    move();
    const cut = (await ben.sees()).came.reliable.length;
    await ben.until("messages on the new path", (seen) => seen.came.reliable.length > cut + 40);
    for (const one of [ada, ben])
      await one.until("connected again", ({ peers }) => peers[0].state === "connected");
    // Firefox gives a connection up whose network is gone: then there is another one.
    if (second !== browser) return;
    for (const one of [ada, ben]) await isUndisturbed(one);
    const counted = [ada, ben].map((one) => one.run(restarts));
    const [restarted, others] = await Promise.all(counted);
    assert.ok(restarted + others > 0, "another path was looked for");
  });
});
