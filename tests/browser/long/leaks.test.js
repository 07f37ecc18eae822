// A page that comes and goes, and what a Rust program that stays has left of it.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { open } from "../sdk.js";
import { scenario, startExample } from "../support.js";

/** How much memory a program has, and how many files. */
function holds({ child: { pid } }) {
  const [, memory] = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+) kB/);
  return { kib: Number(memory), files: readdirSync(`/proc/${pid}/fd`).length };
}

scenario("a page that comes and goes two hundred times leaves nothing in a Rust program", async ({
  browser,
  server,
  add,
}) => {
  const rust = add(startExample(server, "leaks", "--name", "Ferris"));
  const ada = await open(browser, server);
  const comeAndGo = ([url, times]) => {
    const turn = async () => {
      const room = await window.sdk.join(url, "leaks", { metadata: { name: "ada" } });
      const [peer] = [...room.peers.values()];
      if (peer.state !== "connected")
        await new Promise((resolve) =>
          peer.on("state", (state) => state === "connected" && resolve()),
        );
      const channel = peer.channel("state", { lossy: true });
      if (channel.state !== "open") await new Promise((resolve) => channel.on("open", resolve));
      room.close();
    };
    return (async () => {
      for (let n = 0; n < times; n += 1) await turn();
    })();
  };
  await rust.line(/in room/);
  // The first ones fill what a process keeps for all.
  await ada.page.evaluate(comeAndGo, [server.page, 40]);
  const before = holds(rust);
  for (let round = 0; round < 20; round += 1)
    await ada.page.evaluate(comeAndGo, [server.page, 10]);
  const gone = () => rust.output.filter((line) => / is gone: left/.test(line)).length;
  while (gone() < 240) await new Promise((resume) => setTimeout(resume, 50));
  const after = holds(rust);
  assert.ok(after.kib - before.kib < 12_288, `${after.kib - before.kib} KiB are left`);
  assert.ok(after.files <= before.files, `${after.files} files, ${before.files} before`);
  assert.equal(await rust.stop("SIGINT"), 0);
});
