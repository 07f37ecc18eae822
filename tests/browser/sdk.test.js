// The SDK in real browsers, against the real binary.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { enter, open } from "./sdk.js";
import { scenario, scenarioOfTwo } from "./support.js";

const NAMES = ["ada", "ben", "cleo", "dan"];

scenarioOfTwo("four meet, and all of them hear each other on all kinds of channels", async (stage) => {
  const { browser, second, server } = stage;
  const all = [];
  for (const [index, name] of NAMES.entries())
    all.push(await enter([browser, second][index % 2], server, "mesh", { name }));
  for (const one of all) await one.meets(3);
  for (const one of all) {
    await one.run((room) => {
      for (const peer of room.peers.values()) {
        peer.reliable.send("text");
        const state = peer.channel("state", { lossy: true });
        setInterval(() => state.send(new Uint8Array(3)), 20);
        peer.channel(`from ${room.metadata.name}`).send("before it is open");
      }
    });
  }
  for (const [index, one] of all.entries()) {
    const others = NAMES.filter((_, other) => other !== index);
    const from = (list = []) => [...new Set(list.map(([name]) => name))].sort();
    const heardAll = ({ came }) => {
      const named = others.map((name) => came[`from ${name}`]?.length === 1);
      return (
        from(came.reliable).length === 3 && from(came.state).length === 3 && named.every(Boolean)
      );
    };
    const seen = await one.until("all channels of all", heardAll);
    assert.deepEqual(from(seen.came.state), others);
    assert.deepEqual(seen.came.reliable.length, 3);
    assert.deepEqual(seen.came.state[0][1], "3 bytes");
    assert.deepEqual(
      seen.events.filter(([what]) => ["warning", "closed", "refused"].includes(what)),
      [],
    );
    const made = await one.run(() => window.links.made);
    assert.equal(made, 3, "one connection for each");
  }
});

scenario("the example of docs/sdk-js.md works as it stands", async ({ browser, server }) => {
  const text = readFileSync(new URL("../../docs/sdk-js.md", import.meta.url), "utf8");
  const [, example] = text.match(/```js\n([^]*?)```/);
  const here = example
    .replace(/^import .*$/m, "const { join } = window.sdk;")
    .replace("wss://example.org", server.page);
  const pages = [await open(browser, server), await open(browser, server)];
  const lines = [];
  for (const { page } of pages) {
    page.on("console", (message) => lines.push(message.text()));
    // A lossy channel drops what comes too early, so it is said again.
    await page.evaluate(`(async () => { ${here}; window.room = room; })()`);
  }
  for (const { page } of pages) {
    await page.evaluate(() => {
      const say = (peer) => setInterval(() => peer.channel("state").send(new Uint8Array([1])), 50);
      window.room.on("peer", say);
      for (const peer of window.room.peers.values()) say(peer);
    });
  }
  for (const end = Date.now() + 20_000; lines.filter((line) => /^ada/.test(line)).length < 2;) {
    assert.ok(Date.now() < end, `the pages said: ${lines}`);
    await new Promise((resume) => setTimeout(resume, 50));
  }
});
