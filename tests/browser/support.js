// Starts the binary and browsers, and looks at pages as a reader does.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, mkdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { startFirefox } from "./firefox.js";

const ROOT = resolve(import.meta.dirname, "../..");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** How long a page may take to show what a test waits for. */
const PATIENCE_MS = 30_000;
const START_MS = 15_000;
const STOP_MS = 10_000;

/** The binary under test. */
export function binary() {
  const choices = process.env.HELIOGRAPH_BIN
    ? [resolve(process.env.HELIOGRAPH_BIN)]
    : ["release", "debug"].map((profile) => join(ROOT, "target", profile, "heliograph"));
  return found(choices, "cargo build --release");
}

/** The Rust example under test. */
export function example() {
  const beside = join(dirname(binary()), "examples/data_channel");
  return found(
    [process.env.HELIOGRAPH_EXAMPLE ?? beside],
    "cargo build --release --example data_channel",
  );
}

function found(choices, command) {
  const path = choices.find((choice) => existsSync(choice));
  if (!path) throw new Error(`not found: ${choices.join(", ")}; build it with: ${command}`);
  return path;
}

/** A program of ours that runs; its output is kept for the report of a failure. */
class Program {
  constructor(path, args) {
    this.name = path;
    this.output = [];
    this.child = spawn(path, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.exited = once(this.child, "exit");
    this.waiting = [];
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        this.output.push(line);
        for (const check of this.waiting) check();
      });
    }
  }

  /** The first match of `pattern` in the output so far or to come. */
  async line(pattern, timeoutMs = START_MS) {
    return new Promise((done, fail) => {
      const timer = setTimeout(
        () =>
          fail(
            new Error(
              `${this.name} never printed ${pattern}; it printed:\n${this.output.join("\n")}`,
            ),
          ),
        timeoutMs,
      );
      const check = () => {
        const match = this.output.map((line) => line.match(pattern)).find(Boolean);
        if (!match) return;
        clearTimeout(timer);
        this.waiting = this.waiting.filter((other) => other !== check);
        done(match);
      };
      this.waiting.push(check);
      check();
    });
  }

  /**
   * Ends the program in order and gives its exit code; one that doesn't end is killed and is an
   * error.
   */
  async stop(signal = "SIGTERM") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    this.child.kill(signal);
    const killer = setTimeout(() => this.child.kill("SIGKILL"), STOP_MS);
    const [code, end] = await this.exited;
    clearTimeout(killer);
    if (end === "SIGKILL")
      throw new Error(`${this.name} didn't end within ${STOP_MS} ms of ${signal}`);
    return code;
  }

  /** Ends the program by this signal, in order or not. */
  async end(signal) {
    this.child.kill(signal);
    const [code] = await this.exited;
    return code;
  }
}

/** Starts `heliograph` on loopback; `port` 0 lets it choose. */
export async function startServer({ port = 0, flags = [] } = {}) {
  const listen = ["--http", `127.0.0.1:${port}`, "--turn", "127.0.0.1:0"];
  const server = new Program(binary(), [...listen, ...flags]);
  const [, page] = await server.line(/Page\s+(http:\/\/\S+)/);
  return Object.assign(server, { page, port: Number(new URL(page).port) });
}

/**
 * A line to a server that can break. Pages that come by it find the server at `page`, as at any
 * server.
 */
export class Line {
  static async to(server) {
    const line = new Line();
    line.connections = new Set();
    line.works = true;
    line.listener = createServer((near) => line.#carry(near, server.port));
    line.listener.listen(0, "127.0.0.1");
    await once(line.listener, "listening");
    line.port = line.listener.address().port;
    line.page = `http://127.0.0.1:${line.port}/`;
    return line;
  }

  /** Breaks all connections; what is on the way is lost. Nothing gets through until `mend`. */
  cut() {
    this.works = false;
    for (const { near, far } of this.connections) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
  }

  mend() {
    this.works = true;
  }

  /** Carries nothing more on the connections there are, but lets neither end know. */
  stall() {
    for (const { near, far } of this.connections) {
      near.unpipe(far);
      far.unpipe(near);
    }
  }

  async stop() {
    this.cut();
    this.listener.close();
  }

  #carry(near, port) {
    if (!this.works) return near.resetAndDestroy();
    const far = connect(port, "127.0.0.1");
    const connection = { near, far };
    this.connections.add(connection);
    near.pipe(far).pipe(near);
    for (const end of [near, far]) {
      end.on("error", () => {}); // Its close follows.
      end.on("close", () => {
        this.connections.delete(connection);
        near.destroy();
        far.destroy();
      });
    }
  }
}

/**
 * Lets `play` put this machine into more networks (`enter`) and only into the next one (`move`), and
 * brings it back. Only for a namespace as run.sh makes it.
 */
export async function withNetworks(play) {
  let network = 77;
  const ip = (...words) => execFileSync("ip", words);
  const enter = (to) => ip("addr", "add", `192.168.${to}.2/24`, "dev", "lan");
  const move = (to) => {
    ip("addr", "flush", "dev", "lan");
    enter(to);
    ip("route", "replace", "default", "via", `192.168.${to}.1`, "dev", "lan");
  };
  try {
    await play({ enter: () => enter((network += 1)), move: () => move((network += 1)) });
  } finally {
    move(77);
  }
}

/** Starts the Rust example in a room. */
export function startExample(server, room, ...args) {
  return new Program(example(), [
    "--room",
    room,
    "--url",
    `ws://127.0.0.1:${server.port}`,
    ...args,
  ]);
}

/** Starts a browser with a fresh profile. */
export async function startBrowser(...flags) {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [...CHROMIUM_FLAGS, ...flags],
    // Pages that one goes back to come out of the browser's memory, as with people.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
}

/**
 * Opens the page in a browser window of its own, as somebody with this name. With `relayBy` the
 * page uses only ICE servers whose URL contains this text, as if the network let nothing else out.
 */
export async function visit(browser, server, room, options = {}) {
  const { name, relayOnly = false, relayBy, ...context } = options;
  const own = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...context });
  await own.addInitScript((chosen) => localStorage.setItem("heliograph.name", chosen), name);
  const page = await own.newPage();
  const visitor = new Visitor(page, name);
  if (relayOnly) await page.addInitScript(startWithRelayOnly);
  if (relayBy) await page.addInitScript(keepIceServers, relayBy);
  await page.addInitScript(countLinks);
  await page.goto(`${server.page}#${room}`);
  return visitor;
}

/**
 * Runs in the page: sets the switch before the room is entered, so that no direct path is ever
 * tried.
 */
function startWithRelayOnly() {
  const observer = new MutationObserver(() => {
    const relay = document.getElementById("relay");
    if (relay) relay.checked = true;
  });
  observer.observe(document, { childList: true, subtree: true });
  document.addEventListener("DOMContentLoaded", () => observer.disconnect());
}

/** Runs in the page: takes the ICE servers away whose URLs don't contain `text`. */
function keepIceServers(text) {
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      const keep = (urls) => [urls].flat().filter((url) => url.includes(text));
      const kept = config.iceServers
        .map((server) => ({ ...server, urls: keep(server.urls) }))
        .filter((server) => server.urls.length > 0);
      super({ ...config, iceServers: kept });
    }
  };
}

/** Runs in the page: counts the peer connections made, and the channels closed from outside. */
function countLinks() {
  window.links = { made: 0, closed: 0 };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      super(config);
      window.links.made += 1;
    }

    createDataChannel(...args) {
      const channel = super.createDataChannel(...args);
      channel.addEventListener("close", () => (window.links.closed += 1));
      return channel;
    }
  };
}

/** Somebody who looks at the page. */
export class Visitor {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.problems = [];
    page.on("console", (message) => {
      if (message.type() === "error") this.problems.push(message.text());
    });
    page.on("pageerror", (error) => this.problems.push(String(error)));
  }

  /** What the page shows: status, people, chat. */
  async sees() {
    return this.page.evaluate(() => ({
      status: document.getElementById("status").dataset.state,
      statusText: document.getElementById("status").innerText,
      people: [...document.querySelectorAll(".peer")].map((item) => ({
        name: item.querySelector(".name").textContent,
        badge: item.querySelector(".badge").textContent,
        trouble: item.querySelector(".trouble").textContent,
        loss: item.querySelector(".loss").textContent,
        rate: item.querySelector(".rate").textContent,
        rtt: item.querySelector(".rtt").textContent,
        state: item.dataset.state,
        seat: item.dataset.peer,
        away: item.dataset.away === "true",
        path: item.dataset.path,
        local: item.dataset.local,
        remote: item.dataset.remote,
        received: Number(item.dataset.received),
        lost: Number(item.dataset.lost),
      })),
      chat: [...document.querySelectorAll("#log li")].map((line) => line.textContent),
      links: { ...window.links },
    }));
  }

  /** Waits until `check` holds for what the page shows; fails with what it showed last. */
  async until(what, check, timeoutMs = PATIENCE_MS) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const seen = await this.sees();
      if (check(seen)) return seen;
      if (Date.now() > end) {
        const shown = JSON.stringify({ ...seen, problems: this.problems }, null, 1);
        throw new Error(`${this.name} never saw: ${what}. The page shows:\n${shown}`);
      }
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }

  /** Waits until each of these people is connected by this kind of path. */
  async meets(names, path) {
    return this.until(
      `${names} ${path ?? "connected"}`,
      ({ people }) =>
        people.length === names.length &&
        names.every((name) =>
          people.some(
            (one) =>
              one.name === name &&
              one.state === "connected" &&
              (path ? one.path === path : one.path),
          ),
        ),
    );
  }

  /** Waits until the page has its server again, without the pause if there is one. */
  async comesBack() {
    await this.page.click("#retry", { timeout: 500 }).catch(() => {});
    return this.until("online again", ({ status }) => status === "online");
  }

  async says(text) {
    await this.page.fill("#say", text);
    await this.page.press("#say", "Enter");
  }

  /** Waits until a line of the chat ends with this text. */
  async reads(name, text) {
    return this.until(`${name}: ${text}`, ({ chat }) => chat.includes(`${name} ${text}`));
  }
}

/** The one other person that a page shows. */
export function only({ people }) {
  if (people.length !== 1) throw new Error(`one other person expected: ${JSON.stringify(people)}`);
  return people[0];
}

/** A certificate for `localhost` that nobody has signed, and its key: files in a new folder. */
export function certificate() {
  const folder = mkdtempSync(join(tmpdir(), "heliograph-certificate-"));
  const [cert, key] = ["cert.pem", "key.pem"].map((file) => join(folder, file));
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost " +
    `-addext subjectAltName=DNS:localhost -keyout ${key} -out ${cert}`;
  execFileSync("openssl", request.split(" "), { stdio: "pipe" });
  return { folder, cert, key };
}

/** A folder for screenshots. */
export function screenshots() {
  const folder = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), "heliograph-screenshots-"));
  mkdirSync(folder, { recursive: true });
  return folder;
}

/**
 * A test with a server and a browser of its own.
 *
 * A busy machine can starve a browser: a scenario that fails is tried once more, and says so in the
 * report.
 */
export function scenario(name, play, { start, timeoutMs = 180_000 } = {}) {
  test(name, { timeout: timeoutMs }, async (t) => {
    binary(); // Without one there is nothing to try twice.
    try {
      await staged(play, start);
    } catch (first) {
      t.diagnostic(`tried a second time, the first failed: ${first.stack}`);
      await staged(play, start);
    }
  });
}

/**
 * A scenario of the SDK between two browsers, `browser` and `second`: Chromium and Chromium, and Firefox
 * and Chromium.
 */
export function scenarioOfTwo(name, play) {
  scenario(name, play);
  scenario(`${name} (Firefox and Chromium)`, play, { start: twoBrowsers });
}

/** Starts Firefox and Chromium. */
export async function twoBrowsers() {
  return Promise.all([startFirefox(), startBrowser()]);
}

async function startOne() {
  const browser = await startBrowser();
  return [browser];
}

async function staged(play, start = startOne) {
  const cleanup = [];
  try {
    const stage = {
      /** Stops this program after the scenario. */
      add: (program) => {
        cleanup.push(() => program.stop());
        return program;
      },
    };
    stage.server = stage.add(await startServer());
    const browsers = await start();
    for (const browser of browsers) cleanup.push(() => browser.close());
    [stage.browser, stage.second = stage.browser] = browsers;
    stage.visit = (room, options) => visit(stage.browser, stage.server, room, options);
    await play(stage);
  } finally {
    for (const undo of cleanup.reverse()) await undo();
  }
}
