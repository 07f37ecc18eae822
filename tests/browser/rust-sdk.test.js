// The two SDKs meet: a page with the one for browsers, and Rust programs.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { enter } from "./sdk.js";
import { binary, scenario, startExample, startServer } from "./support.js";

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

scenario(
  "glare: both sides look for another path at once, and stay connected",
  async ({ browser, server, add }) => {
    const rust = add(startGame(server, "glare", "--name", "Ferris"));
    const ada = await enter(browser, server, "glare", { name: "Ada" });
    await ada.meets(1);
    await ada.run(play);
    await rust.line(/Ada .*: [1-9]\d\d+ states, /);
    for (let round = 0; round < 5; round += 1) {
      const before = await ada.until("states", (seen) => states(seen) > 0);
      await ada.run((room) => [...room.peers.values()].forEach((peer) => peer.restart()));
      await ada.until("states after a restart", (seen) => states(seen) > states(before) + 30);
    }
    await ada.meets(1);
    assert.equal(await ada.run(() => window.links.made), 1);
    assert.equal(await rust.stop("SIGINT"), 0);
  },
);
