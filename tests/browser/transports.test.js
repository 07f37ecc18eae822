// Pages that reach the relay by TCP and TLS, as from networks that let out nothing else.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { certificate, only, scenario, startBrowser, startServer, visit } from "./support.js";

/** Two pages of a server with these flags chat over the relay, reached only by `relayBy`. */
async function meetOverRelay({ add, browser }, flags, relayBy) {
  const server = add(await startServer({ flags }));
  const options = { relayOnly: true, relayBy };
  const ada = await visit(browser, server, "by-stream", { ...options, name: "Ada" });
  const ben = await visit(browser, server, "by-stream", { ...options, name: "Ben" });
  for (const seen of [await ada.meets(["Ben"], "relayed"), await ben.meets(["Ada"], "relayed")]) {
    assert.equal(only(seen).local, "relay");
    assert.equal(only(seen).remote, "relay");
  }
  await ada.says("over the relay");
  await ben.reads("Ada", "over the relay");
  await ben.until("60 positions", (seen) => only(seen).received >= 60);
}

scenario("pages whose network lets out only TCP meet over the relay", async (stage) => {
  await meetOverRelay(stage, ["--turn-tcp", "127.0.0.1:0"], "transport=tcp");
});

scenario("pages whose network lets out only TLS meet over the relay", async ({ add }) => {
  const { folder, cert, key } = certificate();
  // Nobody has signed the certificate; which one a page trusts is not what this is about.
  const browser = await startBrowser("--ignore-certificate-errors");
  try {
    const tls = ["--turn-tls", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
    await meetOverRelay({ add, browser }, [...tls, "--public-host", "localhost"], "turns:");
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true });
  }
});
