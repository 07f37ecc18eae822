// The token that a server wants to see: asked for when it is needed, and renewed before it expires.

import { HeliographError } from "./errors.js";

/** A token, or what gives one: asked anew for each seat, and to renew one before it expires. */
export type TokenSource = string | (() => string | Promise<string>);

/** What share of a token's time may be over before a newer one is shown. */
const RENEW_AT = 0.75;

/** How soon to try again if that fails. */
const AGAIN_MS = 5000;

/** The longest pause that timers can make. */
const TIMER_MS_MAX = 2 ** 31 - 1;

interface Server {
  /** Shows the server a newer token; resolves with its answer. */
  show(token: string): Promise<{ expires_in_s?: number }>;
  /** There was no newer token to show, or it wasn't taken. */
  failed(error: HeliographError): void;
}

/** Has a token at hand. */
export class TokenKeeper {
  /** The one that was given last. */
  last: string | undefined;
  #source: TokenSource | undefined;
  #server: Server;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the session may not know the last one: the server hasn't answered yet. */
  #isUnanswered = false;

  constructor(source: TokenSource | undefined, server: Server) {
    this.#server = server;
    this.#source = source;
    if (typeof source === "string") this.last = source;
  }

  /** Whether somebody is to be asked for it each time. */
  get mustAsk(): boolean {
    return typeof this.#source === "function";
  }

  /** Asks for a token. */
  async ask(): Promise<string | undefined> {
    if (typeof this.#source !== "function") return this.#source;
    try {
      this.last = await this.#source();
    } catch (cause) {
      throw new HeliographError("unauthorized", `The token couldn't be had: ${String(cause)}`, {
        cause,
        retry: true,
      });
    }
    return this.last;
  }

  /** The server has taken the last one, for so many seconds if it expires. */
  shown(forS: number | undefined): void {
    this.#isUnanswered = false;
    clearTimeout(this.#timer);
    if (forS !== undefined && this.mustAsk) this.#renewIn(forS * 1000 * RENEW_AT);
  }

  /**
   * Takes another source, and shows its token at once if there is a server to see it: else when the
   * session goes on.
   */
  async replace(source: TokenSource, isOnline: boolean): Promise<void> {
    this.#source = source;
    this.last = await this.ask();
    this.#isUnanswered = this.last !== undefined;
    if (isOnline) await this.#show();
  }

  /** The session goes on: shows what the server may not know yet. */
  resumed(): void {
    this.#show().catch((error) => this.#server.failed(error));
  }

  /** Nothing more is to be done. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  async #show(): Promise<void> {
    const token = this.last;
    if (!this.#isUnanswered || token === undefined) return;
    try {
      const { expires_in_s } = await this.#server.show(token);
      if (token === this.last) this.shown(expires_in_s);
    } catch (error) {
      // Without a connection it is shown on the next one.
      if ((error as HeliographError).code === "offline") return;
      if (token === this.last) this.#isUnanswered = false;
      throw error;
    }
  }

  #renewIn(ms: number): void {
    this.#timer = setTimeout(() => void this.#renew(), Math.min(ms, TIMER_MS_MAX));
  }

  async #renew(): Promise<void> {
    try {
      const token = await this.ask();
      if (token !== undefined) this.shown((await this.#server.show(token)).expires_in_s);
    } catch (error) {
      const known = error as HeliographError;
      if (known.code === "ended") return;
      if (known.code !== "offline") this.#server.failed(known);
      this.#renewIn(AGAIN_MS);
    }
  }
}
