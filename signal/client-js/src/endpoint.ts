// Where a server is: from whatever address of it one has at hand.

import { HeliographError, refusal } from "./errors.js";
import type { ErrorFrame } from "./frames.js";

/** The URLs of one server. */
export class Endpoint {
  /** Its root, by HTTP, with a slash at the end. */
  readonly base: URL;

  /**
   * Reads `http:`, `https:`, `ws:` and `wss:` addresses: of the server's root, of a page there, or of
   * its WebSocket. Relative ones are read as a page's links are.
   */
  constructor(address: string | URL) {
    const url = parse(address);
    const secure = { "ws:": "http:", "wss:": "https:", "http:": "http:", "https:": "https:" };
    const protocol = secure[url.protocol as keyof typeof secure];
    if (!protocol) throw badUrl(String(address));
    // `protocol` can't be set from ws to http on a parsed URL in all browsers.
    const root = new URL(`${protocol}//${url.host}${url.pathname}`);
    root.pathname = root.pathname.replace(/v1\/ws$/, "").replace(/[^/]*\.[^/]*$/, "");
    if (!root.pathname.endsWith("/")) root.pathname += "/";
    this.base = root;
  }

  /** The WebSocket. */
  get socket(): string {
    const url = this.at("ws");
    return url.href.replace(/^http/, "ws");
  }

  /** A resource of the protocol, such as `send`. */
  at(path: string, query: Record<string, string | number | boolean | undefined> = {}): URL {
    const url = new URL(`v1/${path}`, this.base);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.append(name, String(value));
    return url;
  }

  /** Whether the server answers by HTTP at all. */
  async answers(): Promise<boolean> {
    try {
      const url = this.at("rooms", { limit: 1 });
      await fetch(url, {
        cache: "no-store",
        mode: "no-cors",
        signal: AbortSignal.timeout(PROBE_MS),
      });
      return true;
    } catch {
      return false;
    }
  }

  /** Asks for a resource and reads its JSON; errors of the server are thrown. */
  async ask<Answer>(url: URL, init: RequestInit = {}): Promise<Answer> {
    let answer: Response;
    try {
      answer = await fetch(url, { cache: "no-store", ...init });
    } catch (cause) {
      if (init.signal?.aborted) throw new HeliographError("aborted", "You ended this request.");
      throw new HeliographError(
        "unreachable",
        `${url.origin} doesn't answer: check the address, the network, and --allow-origin there.`,
        { cause, retry: true },
      );
    }
    const said: unknown = await answer.json().catch(() => null);
    if (isError(said)) throw refusal(said);
    if (answer.ok && said !== null) return said as Answer;
    throw new HeliographError(
      "unreachable",
      `${url.origin} answered ${answer.status}, not as a Heliograph server does: check the address.`,
    );
  }
}

/** How long a server may take to show that it answers by HTTP. */
const PROBE_MS = 4000;

/** Whether something read from JSON is an error frame. */
export function isError(said: unknown): said is ErrorFrame {
  return typeof said === "object" && said !== null && "code" in said && "text" in said;
}

function parse(address: string | URL): URL {
  try {
    return new URL(address, globalThis.location?.href);
  } catch {
    throw badUrl(String(address));
  }
}

function badUrl(address: string): HeliographError {
  return new HeliographError(
    "bad_url",
    `${address} is no address of a server: use one like wss://example.org or https://example.org/base/.`,
  );
}
