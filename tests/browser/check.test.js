// The page /check, against real servers and the networks that people complain of.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import {
  binary,
  certificate,
  scenario,
  screenshots,
  startBrowser,
  startServer,
} from "./support.js";

const SIZES = {
  phone: {
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
  },
  desktop: { viewport: { width: 1280, height: 800 } },
};

/** Nobody is there, and nobody says so: what a firewall that drops packets looks like. */
const NOWHERE = "192.168.77.9:3478";

/** How long all checks may take: STUN and TURN are given up only after a while. */
const VERDICT_MS = 60_000;

const folder = screenshots();

/** Opens the page at `url`; what goes wrong in it is kept. */
async function open(browser, url, context = {}) {
  const own = await browser.newContext({ ...SIZES.desktop, ...context });
  const page = await own.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  await page.addInitScript(watch);
  await page.goto(url);
  return page;
}

/**
 * Runs in the page: notes what moves by itself, other than the words of the verdict, and the
 * passwords that the page is given.
 */
function watch() {
  window.seen = { moved: [], secrets: [] };
  new PerformanceObserver((list) => {
    const moved = list.getEntries().flatMap(({ sources }) => sources.map(({ node }) => node));
    const isSaid = (node) => (node?.closest ? node : node?.parentElement)?.closest(".saying");
    window.seen.moved.push(...moved.filter((node) => !isSaid(node)).map((node) => node?.nodeName));
  }).observe({ type: "layout-shift", buffered: true });
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      super(config);
      const secrets = config.iceServers.flatMap((server) => [server.username, server.credential]);
      window.seen.secrets.push(...secrets.filter(Boolean));
    }
  };
}

/** Waits for the verdict, and gives all that the page says. */
async function result(page) {
  await page.waitForSelector('#verdict:not([data-level="running"])', { timeout: VERDICT_MS });
  return page.evaluate(() => ({
    level: document.getElementById("verdict").dataset.level,
    ways: { ...document.getElementById("verdict").dataset },
    title: document.getElementById("title").textContent,
    text: document.querySelector(".saying").innerText,
    states: Object.fromEntries(
      [...document.querySelectorAll(".row")].map(({ id, dataset }) => [id, dataset.state]),
    ),
    rows: Object.fromEntries(
      [...document.querySelectorAll(".row")].map((row) => [row.id, row.innerText]),
    ),
    seen: window.seen,
  }));
}

const SIGNALING_FINE = { http: "fine", websocket: "fine", events: "fine", poll: "fine" };

/** A server that can be reached by UDP, TCP and TLS, and may relay to this machine. */
async function startAll(add) {
  const { folder: made, cert, key } = certificate();
  const tcp = ["--turn-tcp", "127.0.0.1:0", "--turn-tls", "127.0.0.1:0"];
  const tls = ["--tls-cert", cert, "--tls-key", key, "--public-host", "localhost"];
  const flags = [...tcp, ...tls, "--allow-peer", "127.0.0.0/8"];
  const server = add(await startServer({ flags }));
  add({ stop: () => rmSync(made, { recursive: true }) });
  return server;
}

/** A proxy in front of a server, under /meet/; `options` say what it does to others. */
async function startProxy(add, { port }, { upgrades = true, holds = false }) {
  const listener = createServer((asked, answer) => {
    const { method, headers } = asked;
    const path = asked.url.replace("/meet/", "/");
    const on = request({ host: "127.0.0.1", port, method, path, headers }, (come) => {
      if (!holds) {
        answer.writeHead(come.statusCode, come.headers);
        come.pipe(answer);
        return;
      }
      const parts = [];
      come.on("data", (part) => parts.push(part));
      come.on("end", () => {
        answer.writeHead(come.statusCode, come.headers);
        answer.end(Buffer.concat(parts));
      });
    });
    on.on("error", () => answer.destroy());
    answer.on("close", () => on.destroy());
    asked.pipe(on);
  });
  listener.on("upgrade", (asked, near) => {
    near.on("error", () => {});
    if (!upgrades) return near.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    const far = connect(port, "127.0.0.1", () => {
      const head = [`${asked.method} ${asked.url.replace("/meet/", "/")} HTTP/1.1`];
      for (let at = 0; at < asked.rawHeaders.length; at += 2)
        head.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
      far.write(`${head.join("\r\n")}\r\n\r\n`);
      near.pipe(far).pipe(near);
    });
    far.on("error", () => near.destroy());
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  add({ stop: () => (listener.closeAllConnections(), listener.close()) });
  return `http://127.0.0.1:${listener.address().port}/meet/`;
}

/**
 * Whoever asks the server at `port` by way of this, by UDP, has another address than otherwise, at
 * which only that server reaches it: as behind a symmetric NAT.
 */
async function startNat(add, port) {
  const [inside, outside] = [createSocket("udp4"), createSocket("udp4")];
  let asker = null;
  inside.on("message", (bytes, from) => {
    asker = from;
    outside.send(bytes, port, "127.0.0.1");
  });
  outside.on("message", (bytes, from) => {
    if (from.port === port) inside.send(bytes, asker.port, asker.address);
  });
  for (const socket of [inside, outside]) {
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    add({ stop: () => socket.close() });
  }
  return `127.0.0.1:${inside.address().port}`;
}

for (const [size, context] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    scenario(`all works, and /check fits a ${size}, ${colorScheme}`, async ({ add }) => {
      const server = await startAll(add);
      const browser = await startBrowser("--ignore-certificate-errors");
      add({ stop: () => browser.close() });
      const page = await open(browser, `${server.page}check`, { colorScheme, ...context });
      await page.waitForSelector('#relay-tcp[data-state="running"]', { timeout: VERDICT_MS });
      await page.screenshot({ path: join(folder, `check-${size}-${colorScheme}-running.png`) });
      const { level, title, states, ways, rows, seen } = await result(page);
      const picture = join(folder, `check-${size}-${colorScheme}.png`);
      await page.screenshot({ path: picture, fullPage: true });
      assert.equal(title, "Everything works: direct connections are likely", JSON.stringify(rows));
      assert.equal(level, "good");
      const relays = { "relay-udp": "fine", "relay-tcp": "fine", "relay-tls": "fine" };
      assert.deepEqual(states, { ...SIGNALING_FINE, ...relays, stun: "fine", mapping: "fine" });
      assert.deepEqual([ways.direct, ways.relayed], ["yes", "yes"]);
      assert.match(rows.stun, /From outside you are 127\.0\.0\.1:\d+/);
      assert.match(rows["relay-tls"], /turns:localhost:\d+.*Mbit\/s/s);
      assert.deepEqual(seen.moved, [], "something moved while it ran");

      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll("a, button, input")]
          .filter((control) => control.offsetParent && control.offsetHeight < 32)
          .map((control) => control.id || control.textContent),
      );
      assert.deepEqual(small, [], "controls too small for a finger");
      assert.deepEqual(page.problems, []);
    });
  }
}

scenario("the report is copied, and holds no credentials", async ({ server, browser }) => {
  const permissions = ["clipboard-read", "clipboard-write"];
  const page = await open(browser, `${server.page}check`, { permissions });
  assert.equal(await page.isDisabled("#copy"), true, "there is nothing to copy yet");
  const { title, states, seen } = await result(page);
  assert.equal(title, "Everything works: direct connections are likely");
  assert.equal(states.mapping, "unknown", "the relay must not send to this machine");
  assert.equal(states["relay-tls"], "absent");
  const reached = [];
  for (let count = 0; count < 4; count += 1) {
    await page.keyboard.press("Tab");
    reached.push(
      await page.evaluate(() => document.activeElement.id || document.activeElement.text),
    );
  }
  assert.deepEqual(reached.slice(0, 3), ["To the rooms", "copy", "again"]);
  await page.focus("#copy");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("copy").textContent === "Copied");
  const report = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(report, new RegExp(`^Heliograph check of ${server.page}check\n`));
  assert.match(report, /\nEverything works: direct connections are likely\.\n/);
  assert.match(report, /\nfine +Relay over UDP +set up .* Mbit\/s\n/);
  assert.ok(seen.secrets.length > 0);
  for (const secret of seen.secrets) assert.ok(!report.includes(secret), "a credential is in it");

  await page.click("#again");
  assert.equal(await page.getAttribute("#verdict", "data-level"), "running");
  assert.equal((await result(page)).level, "good");
  assert.deepEqual(page.problems, []);
});

scenario(
  "where WebSockets are refused, rooms and calls still work",
  async ({ add, server, browser }) => {
    const site = await startProxy(add, server, { upgrades: false });
    const page = await open(browser, `${site}check/`);
    assert.equal(page.url(), `${site}check`, "its files are beside the page of rooms");
    const { level, title, text, states } = await result(page);
    assert.equal(title, "Calls work: direct connections are likely");
    assert.equal(level, "fair");
    assert.match(text, /WebSockets don't get through/);
    assert.deepEqual(
      [states.websocket, states.events, states.poll, states["relay-udp"]],
      ["failed", "fine", "fine", "fine"],
    );
  },
);

scenario("a proxy that holds events back is found out", async ({ add, server, browser }) => {
  const site = await startProxy(add, server, { holds: true });
  const { level, text, states, rows } = await result(await open(browser, `${site}check`));
  assert.equal(level, "good");
  assert.match(text, /matters only where it is blocked/);
  assert.match(rows.events, /holds them back/);
  assert.deepEqual([states.websocket, states.events, states.poll], ["fine", "failed", "fine"]);
});

scenario("where UDP is blocked, the relay over TCP is what is left", async ({ add, browser }) => {
  const user = "check:a-password";
  const relay = add(await startServer({ flags: ["--turn-tcp", "127.0.0.1:0", "--user", user] }));
  const [, tcp] = await relay.line(/turn:(\S+)\?transport=tcp/);
  const servers = [
    `stun:${NOWHERE}`,
    `turn:${NOWHERE}?transport=udp check a-password`,
    `turn:${tcp}?transport=tcp check a-password`,
  ];
  const flags = ["signal", ...servers.flatMap((text) => ["--ice-server", text])];
  const server = add(await startServer({ flags }));
  const page = await open(browser, `${server.page}check`);
  const { level, title, text, states, ways } = await result(page);
  await page.screenshot({ path: join(folder, "check-udp-blocked.png"), fullPage: true });
  assert.equal(
    title,
    "Your network blocks UDP: calls work through the relay over TCP only",
    JSON.stringify(states),
  );
  assert.equal(level, "fair");
  assert.match(text, /try a network that lets UDP through/);
  assert.deepEqual(
    [states.stun, states.mapping, states["relay-udp"], states["relay-tcp"], states["relay-tls"]],
    ["failed", "unknown", "failed", "fine", "absent"],
  );
  assert.deepEqual([ways.direct, ways.relayed], ["no", "yes"]);
});

scenario("a NAT that shows each another address is found out", async ({ add, browser }) => {
  const access = ["--user", "check:a-password", "--allow-peer", "127.0.0.0/8"];
  const relay = add(await startServer({ flags: access }));
  const [, udp] = await relay.line(/turn:(\S+)\?transport=udp/);
  const stun = await startNat(add, Number(udp.split(":")[1]));
  const servers = [`stun:${stun}`, `turn:${udp}?transport=udp check a-password`];
  const flags = ["signal", ...servers.flatMap((text) => ["--ice-server", text])];
  const server = add(await startServer({ flags }));
  const { level, title, rows, states } = await result(await open(browser, `${server.page}check`));
  assert.equal(title, "Everything works: most calls will go through the relay", rows.mapping);
  assert.equal(level, "good");
  assert.match(rows.mapping, /symmetric NAT/);
  assert.equal(states.mapping, "limited");
});

scenario(
  "a relay that refuses the credentials is told from one that isn't reached",
  async (stage) => {
    const { add, browser } = stage;
    const relay = add(await startServer({ flags: ["--user", "check:a-password"] }));
    const [, udp] = await relay.line(/turn:(\S+)\?transport=udp/);
    const flags = ["signal", "--ice-server", `turn:${udp}?transport=udp check wrong`];
    const server = add(await startServer({ flags }));
    const { level, text, rows } = await result(await open(browser, `${server.page}check`));
    assert.equal(level, "bad");
    assert.match(rows["relay-udp"], /doesn't believe the credentials.*\(401/s);
    assert.match(text, /TURN secret or its clock/);
  },
);

scenario("a server that asks for a token is told one", async ({ add, browser }) => {
  const { folder: made } = certificate();
  add({ stop: () => rmSync(made, { recursive: true }) });
  const secret = join(made, "secret");
  writeFileSync(secret, "a secret of at least thirty-two bytes");
  const server = add(await startServer({ flags: ["--auth", "jwt", "--jwt-secret-file", secret] }));
  const make = ["token", "--key-file", secret, "--room", "demo-*"];
  const token = execFileSync(binary(), make, { encoding: "utf8" }).trim();

  const page = await open(browser, `${server.page}check`);
  const asked = await result(page);
  await page.screenshot({ path: join(folder, "check-token.png"), fullPage: true });
  assert.equal(asked.level, "ask");
  assert.equal(asked.title, "This server lets in only who shows a token");
  assert.equal(asked.states["relay-udp"], "unknown", "without a seat there are no servers");
  await page.fill("#token", "not-a-token");
  await page.press("#token", "Enter");
  await page.waitForSelector('#verdict[data-level="running"]');
  assert.equal((await result(page)).title, "This server doesn't take this token");
  await page.fill("#token", token);
  await page.press("#token", "Enter");
  await page.waitForSelector('#verdict[data-level="running"]');
  const inside = await result(page);
  assert.equal(inside.level, "good", JSON.stringify(inside.rows));
  assert.equal(await page.isVisible("#token-form"), false);

  const linked = await open(browser, `${server.page}check#token=${token}`);
  assert.equal(linked.url(), `${server.page}check`, "a token isn't left in the address");
  assert.equal((await result(linked)).level, "good");
});
