// What both transports over plain HTTP have in common: how they send, and how they say hello.

import { isError } from "../endpoint.js";
import { readFrame } from "../frames.js";
import type { Carried, Cursor, Frame, Transport, TransportName } from "../transport.js";

/** What one request may carry; the protocol says so. */
const FRAMES_MAX = 64;
const BYTES_MAX = 256 * 1024;

/** What a request may carry that outlives its page; browsers say so. */
const KEEPALIVE_BYTES_MAX = 60 * 1024;

/** How long to wait where the server doesn't say when it is one's turn again. */
const BUSY_MS = 1000;

/** The close code of a connection that broke. */
export const BROKEN = 1006;

/** A session by requests: frames go by POST, and come by what `listen` asks for. */
export abstract class HttpTransport implements Transport {
  abstract readonly name: TransportName;
  abstract readonly quietMs: number;
  abstract readonly acknowledges: boolean;
  protected readonly carried: Carried;
  #queue: string[] = [];
  #sending = false;
  #ending = new AbortController();
  /** Ends the listening that there is: another one follows. */
  #listening = new AbortController();

  protected constructor(carried: Carried) {
    this.carried = carried;
    queueMicrotask(() => this.isOpen && carried.opened());
  }

  send(frame: Frame): void {
    if (frame.type === "hello") {
      this.#listening.abort();
      void this.#hello(frame);
    } else if (frame.type === "resume") {
      this.#listen();
    } else {
      this.#queue.push(JSON.stringify(frame));
      if (!this.#sending) void this.#flush();
    }
  }

  close(): void {
    this.#ending.abort();
    this.#listening.abort();
  }

  leave(frames: Frame[]): void {
    const cursor = this.carried.cursor();
    const texts = [...this.#queue, ...frames.map((frame) => JSON.stringify(frame))];
    this.close();
    if (cursor) sayGoodbye(this.carried, cursor, texts);
  }

  /** Whether it hasn't been closed. */
  protected get isOpen(): boolean {
    return !this.#ending.signal.aborted;
  }

  /** Receives the session's frames until the signal says no more; throws if that fails. */
  protected abstract receive(signal: AbortSignal): Promise<void>;

  /** Asks for the session's frames. */
  protected async ask(path: string, signal: AbortSignal, query = {}): Promise<Response> {
    const { session, key, ...rest } = this.carried.cursor() ?? never();
    const url = this.carried.endpoint.at(path, { session, ...rest, ...query });
    return fetch(url, { headers: { authorization: `Bearer ${key}` }, cache: "no-store", signal });
  }

  /** Passes the frames of an answer on, or some of them; whether it was a list of frames. */
  protected async take(
    answer: Response,
    signal: AbortSignal,
    isWanted: (frame: Frame) => boolean = () => true,
  ): Promise<boolean> {
    const said: unknown = await answer.json();
    const frames = Array.isArray(said) ? said : isError(said) ? [said] : null;
    if (frames === null) throw new Error(`the answer was ${answer.status}`);
    for (const frame of frames.filter(isWanted)) {
      if (signal.aborted) break;
      this.carried.received(JSON.stringify(frame));
    }
    return Array.isArray(said);
  }

  #listen(): void {
    this.#listening.abort();
    const listening = new AbortController();
    this.#listening = listening;
    this.receive(listening.signal).then(
      () => listening.signal.aborted || this.#broke(""),
      (error: unknown) => listening.signal.aborted || this.#broke(String(error)),
    );
  }

  async #hello(hello: Frame): Promise<void> {
    const { signal } = this.#ending;
    try {
      const answer = await this.#post(JSON.stringify(hello), null);
      await this.take(answer, signal);
      if (this.isOpen && this.carried.cursor()) this.#listen();
    } catch (error) {
      this.#broke(String(error));
    }
  }

  async #flush(): Promise<void> {
    this.#sending = true;
    try {
      while (this.#queue.length > 0 && this.isOpen) {
        const cursor = this.carried.cursor();
        if (!cursor) break;
        await this.#sendSome(cursor);
      }
    } catch (error) {
      this.#broke(String(error));
    } finally {
      this.#sending = false;
    }
  }

  async #sendSome(cursor: Cursor): Promise<void> {
    const texts = chunk(this.#queue);
    const answer = await this.#post(`[${texts.join(",")}]`, cursor);
    if (answer.status === 429 || answer.status === 503) {
      const frame = readFrame(await answer.text());
      const waitMs = (frame?.type === "error" && frame.retry_after_ms) || BUSY_MS;
      await new Promise((resume) => setTimeout(resume, waitMs));
      return;
    }
    this.#queue.splice(0, texts.length);
    const { signal } = this.#ending;
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    // What was carried out is said where refusals are too: by what is listened to.
    await this.take(answer, signal, (frame) => frame.type !== "ack");
  }

  async #post(body: string, cursor: Cursor | null): Promise<Response> {
    const url = this.carried.endpoint.at("send", { session: cursor?.session });
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (cursor) headers.authorization = `Bearer ${cursor.key}`;
    const { signal } = this.#ending;
    return fetch(url, { method: "POST", headers, body, signal, cache: "no-store" });
  }

  #broke(text: string): void {
    if (this.isOpen) this.carried.closed(BROKEN, text);
  }
}

/** Sends frames although the page may end now: by a request that goes on without it. */
export function sayGoodbye(
  carried: Pick<Carried, "endpoint">,
  cursor: Cursor,
  texts: string[],
): void {
  const { session, key } = cursor;
  const kept = texts.slice(-FRAMES_MAX);
  while (kept.length > 1 && size(kept) > KEEPALIVE_BYTES_MAX) kept.shift();
  const body = `[${kept.join(",")}]`;
  // A plain text with the key in the URL: no other request has to come first from other origins.
  const url = carried.endpoint.at("send", { session, key });
  if (globalThis.navigator?.sendBeacon?.(url, body)) return;
  fetch(url, { method: "POST", body, keepalive: true }).catch(() => {}); // Nobody is left to tell.
}

/** As many texts from the front as one request may carry; at least one. */
function chunk(texts: string[]): string[] {
  const some = texts.slice(0, FRAMES_MAX);
  while (some.length > 1 && size(some) > BYTES_MAX) some.pop();
  return some;
}

function size(texts: string[]): number {
  // A character has at most 3 bytes of UTF-8 for each of its units.
  return texts.reduce((sum, text) => sum + 3 * text.length + 1, 2);
}

function never(): never {
  throw new Error("a session is listened to that isn't there");
}
