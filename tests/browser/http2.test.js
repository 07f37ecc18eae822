// A page over HTTPS: all that it asks for, its WebSocket too, shares one HTTP/2 connection.

import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { certificate, scenario, startBrowser, startServer, visit } from "./support.js";

scenario("pages over HTTPS meet by WebSockets over HTTP/2", async ({ add }) => {
  const { folder, cert, key } = certificate();
  const browser = await startBrowser("--ignore-certificate-errors");
  try {
    const flags = ["--https", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
    const server = add(await startServer({ flags }));
    const [, https] = await server.line(/(https:\/\/\S+)/);
    const site = { page: https };
    const handshakes = [];
    const ada = await visit(browser, site, "over-http2", { name: "Ada" });
    const devtools = await ada.page.context().newCDPSession(ada.page);
    await devtools.send("Network.enable");
    devtools.on("Network.webSocketHandshakeResponseReceived", ({ response }) =>
      handshakes.push(response.status),
    );
    await ada.page.reload();
    const ben = await visit(browser, site, "over-http2", { name: "Ben" });
    await ada.meets(["Ben"]);
    await ada.says("over HTTP/2");
    await ben.reads("Ada", "over HTTP/2");
    // That of the page before it was loaded again may still be among them.
    assert.deepEqual([...new Set(handshakes)], [200], "101 would be HTTP/1.1");
    const protocols = await ada.page.evaluate(() =>
      performance.getEntriesByType("resource").map((entry) => entry.nextHopProtocol),
    );
    assert.deepEqual([...new Set(protocols)], ["h2"]);
    assert.equal(await ada.page.evaluate(pollAndListen), "joined, then an event");

    const metrics = await (await fetch(`${server.page}metrics`)).text();
    const requests = (version) =>
      Number(metrics.match(new RegExp(`http_requests_total{http="${version}"} (\\d+)`))[1]);
    assert.equal(requests("1.1"), 1, "only this one");
    assert.ok(requests("2") > 20, metrics);
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true });
  }
});

/** Runs in the page: two more sessions, one by polls and one by events. */
async function pollAndListen() {
  const send = async (url, frame, key) => {
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(frame) });
    return answer.json();
  };
  const join = async () => (await send("v1/send", { type: "hello", room: "plain" }))[0];
  const one = await join();
  const poll = fetch(`v1/poll?session=${one.session}&seq=1`, {
    headers: { authorization: `Bearer ${one.key}` },
  });
  const two = await join();
  const [, joined] = await (await poll).json();
  const events = new EventSource(`v1/events?session=${two.session}&key=${two.key}&seq=1`);
  const heard = new Promise((done) => {
    events.onmessage = ({ data }) => {
      if (JSON.parse(data).data === "hello") done("an event");
    };
  });
  const signal = { type: "signal", to: two.peer, data: "hello", id: 1 };
  await send(`v1/send?session=${one.session}`, signal, one.key);
  const event = await heard;
  events.close();
  return `${joined.type}, then ${event}`;
}
