// The two SDKs meet: a page with the one for browsers, and Rust programs.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { PlainProxy, enter } from "./sdk.js";
import { binary, scenario, startExample, startServer, withNetworks } from "./support.js";

/** Starts another example than `data_channel`. */
function startGame(server, room, ...args) {
  const before = process.env.HELIOGRAPH_EXAMPLE;
  const beside = join(dirname(before ?? join(dirname(binary()), "examples/data_channel")), "game");
  assert(existsSync(beside), `not found: ${beside}; build it with: cargo build --examples`);
  process.env.HELIOGRAPH_EXAMPLE = beside;
  try {
    return startExample(server, room, ...args);
  } finally {
    if (before === undefined) delete process.env.HELIOGRAPH_EXAMPLE;
    else process.env.HELIOGRAPH_EXAMPLE = before;
  }
}

/** Runs in the page: plays, and keeps how many states came in the last second. */
function play(room) {
  for (const peer of room.peers.values()) {
    const state = peer.channel("state", { lossy: true });
    let n = 0;
    setInterval(() => {
      n += 1;
      const text = JSON.stringify({ n, x: 0.5, y: 0.5, t: performance.now(), echo: null });
      if (state.state === "open") state.send(text);
    }, 16);
  }
}

const states = ({ came }) => came.state?.length ?? 0;

scenario(
  "a page and a Rust program open the same channel at once, and it outlives the server",
  async ({ browser, server, add }) => {
    const rust = add(startGame(server, "arena", "--name", "Ferris"));
    const ada = await enter(browser, server, "arena", { name: "Ada" });
    await ada.meets(1);
    await ada.run(play);
    await rust.line(/Ada .* connected: direct/);
    await rust.line(/Ada .*: [1-9]\d\d+ states, /);
    const before = await ada.until("states of the Rust program", (seen) => states(seen) > 100);
    await server.end("SIGKILL");
    await ada.until("states without a server", (seen) => states(seen) > states(before) + 100);

    add(await startServer({ port: server.port }));
    const back = await ada.until(
      "both have joined anew",
      ({ events, peers, connection }) =>
        connection.name === "online" &&
        events.some(([what, who]) => what === "rejoined" && who === "Ferris") &&
        peers.length === 1,
    );
    assert.notEqual(back.peers[0].id, before.peers[0].id);
    const later = await ada.until("states go on", (seen) => states(seen) > states(back) + 100);
    assert.equal(later.events.filter(([what]) => what === "closed" || what === "left").length, 0);
    assert.equal(await ada.run(() => window.links.made), 1, "no other link was made");
    assert.equal(await rust.stop("SIGINT"), 0);
    await ada.until("the Rust program has left", ({ peers }) => peers.length === 0, 5000);
  },
);

scenario("glare: both sides look for another path all the time, and stay connected", async ({
  browser,
  server,
  add,
}) => {
  const ada = await enter(browser, server, "glare", { name: "Ada" });
  const rust = add(startGame(server, "glare", "--name", "Ferris"));
  await ada.meets(1);
  await ada.run(play);
  await rust.line(/Ada .*: [1-9]\d\d+ states, /);
  // The Rust program offers when it sees another network: that is asked every 2 s.
  await withNetworks(async ({ enter: enterNetwork }) => {
    const restarts = ada.run(async (room) => {
      const [peer] = room.peers.values();
      for (let turn = 0; turn < 50; turn += 1) {
        peer.restart();
        await new Promise((resume) => setTimeout(resume, 150));
      }
    });
    const moves = async () => {
      for (let turn = 0; turn < 4; turn += 1) {
        enterNetwork();
        await new Promise((resume) => setTimeout(resume, 2000));
      }
    };
    await Promise.all([restarts, moves()]);
    const before = await ada.until("connected", ({ peers }) => peers[0].state === "connected");
    await ada.until("states after it all", (seen) => states(seen) > states(before) + 60);
    assert.equal(await ada.run(() => window.links.made), 1);
    const { events } = await ada.sees();
    assert.deepEqual(
      events.filter(([what]) => what === "warning" || what === "closed"),
      [],
    );
    await ada.becomes("stable", "stable", (room) => {
      const [{ connection }] = room.peers.values();
      return connection.signalingState;
    });
  });
  assert.equal(await rust.stop("SIGINT"), 0);
});

scenario("another network is another path for a page and a Rust program, within seconds", async ({
  browser,
  server,
  add,
}) => {
  const rust = add(startGame(server, "switch", "--name", "Ferris"));
  const ada = await enter(browser, server, "switch", { name: "Ada" });
  await ada.meets(1, "direct");
  await ada.run(play);
  await rust.line(/Ada .*: [1-9]\d\d+ states, /);
  await withNetworks(async ({ move }) => {
    const before = await ada.until("states", (seen) => states(seen) > 0);
    move();
    await ada.until("states on the new path", (seen) => states(seen) > states(before) + 300);
    const seen = await ada.meets(1, "direct");
    assert.deepEqual(
      seen.events.filter(([what]) => what === "closed" || what === "left"),
      [],
    );
    assert.equal(await ada.run(() => window.links.made), 1);
    const { sdp } = await ada.run((room) => {
      const [{ connection }] = room.peers.values();
      return connection.remoteDescription;
    });
    assert.match(sdp, /192\.168\.78\.2/, "the Rust program names its new address");
  });
  assert.equal(await rust.stop("SIGINT"), 0);
});

scenario("where no WebSocket gets through, a page and a Rust program meet all the same", async ({
  browser,
  server,
  add,
}) => {
  const proxy = add(await PlainProxy.to(server));
  const rust = add(startGame(proxy, "blocked", "--name", "Ferris"));
  const ada = await enter(browser, proxy, "blocked", { name: "Ada" });
  assert.equal((await ada.sees()).connection.transport, "events");
  await ada.meets(1, "direct");
  await ada.run(play);
  await ada.until("states", (seen) => states(seen) > 60);
  await rust.line(/Ada .*: [1-9]\d\d+ states, /);
  assert.equal(proxy.requests.filter((one) => one === "GET /v1/events").length, 2);
  // A tab that is closed is announced at once.
  await ada.page.close();
  await rust.line(/Ada .* is gone: left/, 3000);
  assert.equal(await rust.stop("SIGINT"), 0);
});
