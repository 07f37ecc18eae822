// The page of examples/web, a Rust program in a browser, as a reader sees it.

import { createServer } from "node:http";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { basename, extname, join, resolve } from "node:path";

const BUILT = resolve(
  process.env.HELIOGRAPH_WEB_ECHO ?? join(import.meta.dirname, "../../target/web-echo"),
);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const PATIENCE_MS = 30_000;

/**
 * Opens the page in a browser window of its own; it joins the room under this name, or one that it
 * finds in the queue `match`. With `webSockets: false` the network lets none through.
 */
export async function visitEcho(stage, room, name, { webSockets = true, match } = {}) {
  stage.files ??= stage.add(await serve(BUILT));
  const context = await stage.browser.newContext();
  const page = await context.newPage();
  const echo = new EchoPage(page, name);
  await page.addInitScript(keepConnections);
  if (!webSockets) await page.addInitScript(blockWebSockets);
  const query = new URLSearchParams({ server: stage.server.page, room, name });
  if (match) query.set("match", match);
  await page.goto(`${stage.files.page}index.html?${query}`);
  return echo;
}

/** Serves the files of a folder. */
async function serve(folder) {
  if (!existsSync(folder)) throw new Error(`not found: ${folder}; run: cargo run -p web-echo`);
  const server = createServer((request, response) => {
    const path = join(folder, basename(new URL(request.url, "http://localhost").pathname));
    if (!existsSync(path)) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(path)] }).end(readFileSync(path));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { page: `http://127.0.0.1:${server.address().port}/`, stop: () => server.close() };
}

/** Runs in the page: keeps hold of all peer connections. */
function keepConnections() {
  window.connections = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      super(config);
      window.connections.push(this);
    }
  };
}

/** Runs in the page: lets no WebSocket get anywhere. */
function blockWebSockets() {
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(url, protocols) {
      super("ws://127.0.0.1:9/", protocols);
    }
  };
}

/** Somebody who looks at the page. */
class EchoPage {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.problems = [];
    page.on("console", (message) => {
      if (message.type() === "error") this.problems.push(message.text());
    });
    page.on("pageerror", (error) => this.problems.push(String(error)));
  }

  async lines() {
    return this.page.locator("#log li").allTextContents();
  }

  /** Waits for a line; fails with those that were shown. */
  async reads(pattern) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const lines = await this.lines();
      if (lines.some((line) => pattern.test(line))) return;
      if (Date.now() > end) {
        const shown = [...lines, ...this.problems].join("\n");
        throw new Error(`${this.name} never read ${pattern}, but:\n${shown}`);
      }
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }

  async says(text) {
    await this.page.fill("#say", text);
    await this.page.press("#say", "Enter");
  }

  async leaves() {
    await this.page.click("#leave");
    await this.reads(/^left the room$/);
  }

  /**
   * Joins the room and leaves it once it is connected to this person, so many times. Gives how much
   * room the program needs: its memory, and its table of the browser's objects.
   */
  async comesAndGoes(server, room, person, times) {
    return this.page.evaluate(comeAndGo, { server: server.page, room, person, times });
  }

  /**
   * Joins the room, says so many numbers once it is connected to this person, each behind this much
   * text, and leaves when the last one has come back.
   */
  async saysMuch(server, room, person, numbers, length) {
    await this.page.evaluate(sayMuch, { server: server.page, room, person, numbers, length });
  }

  /** The browser says that the network is another one; waits until ICE is restarted for it. */
  async changesNetwork() {
    await this.page.evaluate(async () => {
      const fragment = () => window.connections[0].localDescription.sdp.match(/ice-ufrag:.*/)[0];
      const before = fragment();
      window.dispatchEvent(new Event("online"));
      while (fragment() === before) await new Promise((resume) => setTimeout(resume, 50));
    });
  }

  /** How many peer connections the page has made, and how many of them are not closed. */
  async connections() {
    return this.page.evaluate(() => ({
      made: window.connections.length,
      open: window.connections.filter(({ signalingState }) => signalingState !== "closed").length,
    }));
  }
}

/** Runs in the page. */
async function sayMuch({ server, room, person, numbers, length }) {
  const { default: init, sit_down } = await import("./web_echo.js");
  await init();
  const [meeting, end] = [Promise.withResolvers(), Promise.withResolvers()];
  const seat = await sit_down(server, room, "guest", (line) => {
    if (line.startsWith(`${person} connected`)) meeting.resolve();
    if (line === `${person} echoes: the end`) end.resolve();
  });
  await meeting.promise;
  for (let number = 0; number < numbers; number += 1) {
    await seat.say(`${number} ${"x".repeat(length)}`);
  }
  await seat.say("the end");
  await end.promise;
  await seat.leave();
}

/** Runs in the page. */
async function comeAndGo({ server, room, person, times }) {
  const { default: init, sit_down } = await import("./web_echo.js");
  const { memory, __wbindgen_externrefs } = await init();
  for (let time = 0; time < times; time += 1) {
    const meeting = Promise.withResolvers();
    const seat = await sit_down(server, room, "guest", (line) => {
      if (line.startsWith(`${person} connected`)) meeting.resolve();
    });
    await meeting.promise;
    await seat.leave();
  }
  return { bytes: memory.buffer.byteLength, objects: __wbindgen_externrefs.length };
}
