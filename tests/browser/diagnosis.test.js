// Verdicts of which only a page can be the reason. All verdicts, with Rust peers: tests/diagnosis.

import assert from "node:assert/strict";
import { enter } from "./sdk.js";
import { scenario, startBrowser } from "./support.js";

/** So often may be asked. */
const PAUSE_MS = 1500;
const PATIENCE_MS = 40_000;

/** Asks until it is no longer too early to say. */
async function verdict(page) {
  await page.until("somebody else", ({ peers }) => peers.length === 1);
  for (const end = Date.now() + PATIENCE_MS; ;) {
    const told = await page.run((room) => [...room.peers.values()][0].diagnosis());
    if (told.verdict !== "connecting" || Date.now() > end)
      return [told.verdict, told.side, told.text];
    await new Promise((resume) => setTimeout(resume, PAUSE_MS));
  }
}

/** Runs in the page before all else: without a relay. */
const withoutServers = () => {
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      super({ ...config, iceServers: [] });
    }
  };
};

scenario("a browser whose policy forbids WebRTC has no candidates, and both are told", async ({
  browser,
  server,
  add,
}) => {
  const policy = "disable_non_proxied_udp";
  const strict = await startBrowser(
    `--force-webrtc-ip-handling-policy=${policy}`,
    `--webrtc-ip-handling-policy=${policy}`,
  );
  add({ stop: () => strict.close() });
  const ada = await enter(strict, server, "policy", { name: "ada", init: withoutServers });
  const ben = await enter(browser, server, "policy", { name: "ben", init: withoutServers });
  const what = "found no candidates";
  assert.deepEqual(await verdict(ada), [
    "no_local_candidates",
    "yours",
    `this side: ${what}, not even an address of its own`,
  ]);
  assert.deepEqual(await verdict(ben), [
    "no_candidates_from_peer",
    "theirs",
    `ada: ${what}, so it sent none`,
  ]);
});

scenario("who closes a link is named to both", async ({ browser, server }) => {
  const ada = await enter(browser, server, "closed", { name: "ada" });
  const ben = await enter(browser, server, "closed", { name: "ben" });
  await Promise.all([ada.meets(1), ben.meets(1)]);
  await ada.run((room) => [...room.peers.values()][0].close());
  await ben.until("the end of the link", ({ peers }) => peers[0].state === "closed");
  assert.deepEqual((await verdict(ada)).slice(0, 2), ["closed_by_you", "yours"]);
  assert.deepEqual((await verdict(ben)).slice(0, 2), ["closed_by_peer", "theirs"]);
});
