// Pages that use the SDK as it is served at /heliograph.js: an idle page, a room in it, and what
// happened there.

import { request as ask, createServer } from "node:http";
import { once } from "node:events";
import { isDeepStrictEqual } from "node:util";

const PATIENCE_MS = 30_000;

/** Opens an idle page of this server that has the SDK as `sdk`. */
export async function open(browser, server, { context, init, path = "" } = {}) {
  const own = context ?? (await browser.newContext());
  const page = await own.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  if (init) await page.addInitScript(init);
  // Any page of the server will do: its own script, shown as text, does nothing.
  await page.goto(`${server.page}${path}heliograph.js`);
  await page.evaluate(async () => {
    window.sdk = await import(location.href);
  });
  return Object.assign(new Client(page), { problems });
}

/** Opens an idle page and joins a room as somebody with this name. */
export async function enter(browser, server, room, options = {}) {
  const { name, context, init, path, ...join } = options;
  const client = await open(browser, server, { context, init, path });
  await client.join(server.page, room, { metadata: { name }, ...join });
  return client;
}

/** A page that uses the SDK. */
class Client {
  constructor(page) {
    this.page = page;
  }

  /** Joins and keeps what happens: `room`, `events`, and for each channel what came. */
  async join(url, id, options) {
    await this.page.evaluate(joinHere, [url, id, options]);
  }

  /** Calls a function in the page with the room and this argument. */
  async run(play, argument) {
    return this.page.evaluate(
      ([text, value]) => new Function(`return (${text})`)()(window.room, value),
      [play.toString(), argument],
    );
  }

  /** What there is to see. */
  async sees() {
    return this.page.evaluate(() => ({
      connection: { ...window.room.connection, error: undefined },
      self: window.room.peerId,
      peers: [...window.room.peers.values()].map((peer) => ({
        id: peer.id,
        name: peer.metadata.name,
        state: peer.state,
        path: peer.path,
        away: peer.away,
      })),
      events: window.events,
      came: window.came,
    }));
  }

  /** Waits until `check` holds for what there is to see. */
  async until(what, check, timeoutMs = PATIENCE_MS) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const seen = await this.sees();
      if (check(seen)) return seen;
      if (Date.now() > end) {
        const shown = JSON.stringify({ ...seen, problems: this.problems }, null, 1);
        throw new Error(`it never came to: ${what}. There is:\n${shown}`);
      }
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }

  /** Waits until a function in the page gives what is expected. */
  async becomes(what, expected, play, timeoutMs = PATIENCE_MS) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const found = await this.run(play);
      if (isDeepStrictEqual(found, expected)) return;
      if (Date.now() > end) {
        const shown = JSON.stringify({ found, ...(await this.sees()) }, null, 1);
        throw new Error(`it never came to: ${what}. There is:\n${shown}`);
      }
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }

  /** Waits until exactly so many others are connected, by this kind of path if one is named. */
  async meets(count, kind) {
    const connected = ({ state, path }) =>
      state === "connected" && path && (!kind || path.kind === kind);
    return this.until(
      `${count} connected ${kind ?? ""}`,
      ({ peers }) => peers.length === count && peers.every(connected),
    );
  }
}

/** Runs in the page. */
async function joinHere([url, id, options]) {
  window.events = [];
  window.came = {};
  window.links = { made: 0, restarts: 0 };
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(config) {
      super(config);
      window.links.made += 1;
    }
  };
  const heard = new WeakSet();
  const hear = (peer, channel) => {
    if (heard.has(channel)) return;
    heard.add(channel);
    channel.on("message", (data) => {
      const text = typeof data === "string" ? data : `${data.length} bytes`;
      (window.came[channel.label] ??= []).push([peer.metadata.name, text]);
    });
    channel.on("close", () => window.events.push(["closed", channel.label]));
  };
  window.room = await window.sdk.join(url, id, options);
  const { room } = window;
  room.on("connection", ({ name, transport }) => window.events.push([name, transport]));
  room.on("left", ({ peer, reason }) => window.events.push(["left", peer.metadata.name, reason]));
  room.on("rejoined", ({ peer }) => window.events.push(["rejoined", peer?.metadata.name ?? null]));
  room.on("refused", ({ code, text }) => window.events.push(["refused", code, text]));
  room.on("ended", (error) => window.events.push(["ended", error?.code ?? null]));
  room.on("peer", (peer) => {
    window.events.push(["peer", peer.metadata.name]);
    peer.on("state", (state) => window.events.push(["state", peer.metadata.name, state]));
    peer.on("warning", (error) => window.events.push(["warning", String(error)]));
    for (const channel of [peer.reliable, peer.lossy]) hear(peer, channel);
    peer.on("channel", (channel) => hear(peer, channel));
    const native = peer.channel.bind(peer);
    peer.channel = (label, options) => {
      const channel = native(label, options);
      hear(peer, channel);
      return channel;
    };
  });
}

/** A proxy that knows plain HTTP only: what asks for a WebSocket is an ordinary request to it. */
export class PlainProxy {
  static async to(server) {
    const proxy = new PlainProxy();
    proxy.requests = [];
    proxy.listener = createServer((request, answer) => {
      proxy.requests.push(`${request.method} ${request.url.split("?")[0]}`);
      const { upgrade, connection, ...headers } = request.headers;
      const { method, url: path } = request;
      const far = ask({ port: server.port, method, path, headers }, (from) => {
        answer.writeHead(from.statusCode, from.headers);
        from.pipe(answer);
      });
      answer.on("close", () => far.destroy());
      far.on("error", () => answer.destroy());
      request.pipe(far);
    });
    proxy.listener.listen(0, "127.0.0.1");
    await once(proxy.listener, "listening");
    proxy.port = proxy.listener.address().port;
    proxy.page = `http://127.0.0.1:${proxy.port}/`;
    return proxy;
  }

  async stop() {
    this.listener.closeAllConnections();
    this.listener.close();
  }
}
