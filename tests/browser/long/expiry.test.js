// Credentials of 20 s over two minutes, for pages and Rust programs that may only use the relay.

import assert from "node:assert/strict";
import { enter } from "../sdk.js";
import { scenario, startExample, startServer, twoBrowsers } from "../support.js";

const PAGES = ["ada", "ben"];
const PROGRAMS = ["Ferris", "Rita"];

/** How long they talk, and how long nothing may come from one. */
const TALK_MS = 120_000;
const GAP_MAX_MS = 1000;

/** Runs in the page: talks to all, and keeps the longest gap in what each of them sends. */
function talk(room) {
  window.gaps = {};
  window.paths = [];
  for (const peer of room.peers.values()) {
    const { name } = peer.metadata;
    let [n, last] = [0, performance.now()];
    peer.lossy.on("message", () => {
      const now = performance.now();
      window.gaps[name] = Math.max(window.gaps[name] ?? 0, now - last);
      last = now;
    });
    peer.on("path", (path) => window.paths.push(path?.kind ?? null));
    setInterval(() => peer.lossy.send(JSON.stringify({ n: n++ })), 20);
  }
}

/** Runs in the page: how often it has looked for another path to each of the others. */
async function countRestarts(room) {
  const counts = {};
  for (const peer of room.peers.values())
    counts[peer.metadata.name] = (await peer.stats()).restarts;
  return counts;
}

/** What the last report of a Rust program says of somebody. */
function lastReport({ output }, name) {
  const form = new RegExp(
    `^${name} .* (\\d+) received, .* (\\d+) ms apart at most; .*; (direct|relayed) `,
  );
  const [, received, gap, path] = output.map((line) => line.match(form)).findLast(Boolean);
  return { received: Number(received), gap: Number(gap), path };
}

function isShort(gap, from, to) {
  assert.ok(gap > 0 && gap < GAP_MAX_MS, `the longest gap from ${from} to ${to} was ${gap} ms`);
}

const timeoutMs = 3 * TALK_MS;

const NAME = "credentials expire again and again, and what goes by the relay alone has no gap";

scenario(NAME, (stage) => talkForLong(stage, PROGRAMS), { timeoutMs });
scenario(`${NAME} (Firefox and Chromium)`, (stage) => talkForLong(stage, []), {
  timeoutMs,
  start: twoBrowsers,
});

async function talkForLong({ browser, second, add }, names) {
  const all = [...PAGES, ...names];
  const server = add(await startServer({ flags: ["--ice-ttl-s", "20"] }));
  const pages = [];
  for (const [at, name] of PAGES.entries())
    pages.push(await enter(at ? second : browser, server, "expiry", { name, relayOnly: true }));
  const programs = names.map((name) =>
    add(startExample(server, "expiry", "--name", name, "--relay-only")),
  );
  for (const page of pages) await page.meets(all.length - 1, "relayed");
  for (const page of pages) await page.run(talk);
  await new Promise((resume) => setTimeout(resume, TALK_MS));

  const restarts = [];
  for (const [at, page] of pages.entries()) {
    const { gaps, paths, links } = await page.run(() => ({
      gaps: window.gaps,
      paths: window.paths,
      links: window.links,
    }));
    for (const name of all.filter((other) => other !== PAGES[at]))
      isShort(gaps[name], name, PAGES[at]);
    assert.deepEqual([paths.every((kind) => kind === "relayed"), links.made], [true, all.length - 1]);
    const { events } = await page.sees();
    const bad = events.filter(([what]) => ["warning", "closed", "left", "refused"].includes(what));
    assert.deepEqual(bad, []);
    restarts.push(await page.run(countRestarts));
  }
  // A page that chooses the path has the other one begin.
  const [byAda, byBen] = restarts;
  const moves = [byAda.ben + byBen.ada, ...names.flatMap((name) => [byAda[name], byBen[name]])];
  assert.ok(
    moves.every((count) => count >= 5),
    `moved to new credentials: ${moves} times`,
  );
  for (const [at, program] of programs.entries()) {
    for (const name of all.filter((other) => other !== names[at])) {
      const { received, gap, path } = lastReport(program, name);
      isShort(gap, name, names[at]);
      assert.equal(path, "relayed");
      assert.ok(received > 1000, `${received} messages came from ${name}`);
    }
    assert.ok(!program.output.some((line) => line.includes("not connected")));
    assert.equal(await program.stop("SIGINT"), 0);
  }
}
