// A session's frames as server-sent events, read from one long answer: so the key stands in a header,
// not in a URL that proxies log, and an answer that is an error can be read.

import type { Carried } from "../transport.js";
import { HttpTransport } from "./http.js";

/** The longest event: a frame with room to spare. */
const EVENT_LENGTH_MAX = 1024 * 1024;

/** A connection by server-sent events and POST. */
export class EventsTransport extends HttpTransport {
  readonly name = "events";
  readonly quietMs = 0;
  readonly acknowledges = false;

  constructor(carried: Carried) {
    super(carried);
  }

  protected async receive(signal: AbortSignal): Promise<void> {
    const answer = await this.ask("events", signal);
    const type = answer.headers.get("content-type") ?? "";
    if (!answer.ok || !answer.body || !type.startsWith("text/event-stream")) {
      await this.take(answer, signal);
      return;
    }
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    const events = new EventReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      for (const data of events.read(decoder.decode(value, { stream: true }))) {
        if (signal.aborted) return;
        this.carried.received(data);
      }
    }
  }
}

/** Reads the data of events from a stream of text, as much of it as these servers send. */
export class EventReader {
  #text = "";

  /** The data of the events that are complete with this piece. */
  read(piece: string): string[] {
    this.#text += piece;
    const blocks = this.#text.split("\n\n");
    this.#text = blocks.pop() ?? "";
    if (this.#text.length > EVENT_LENGTH_MAX) throw new Error("an event is too long");
    return blocks.map(dataOf).filter((data) => data !== "");
  }
}

function dataOf(block: string): string {
  const lines = block.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}
