// A session's frames by one request after another, each of which waits until there is something.

import type { Carried } from "../transport.js";
import { HttpTransport } from "./http.js";

/** How long a request waits for a frame. */
const WAIT_S = 25;

/** A connection by long polls and POST. */
export class PollTransport extends HttpTransport {
  readonly name = "poll";
  readonly quietMs = WAIT_S * 1000;
  readonly acknowledges = true;

  constructor(carried: Carried) {
    super(carried);
  }

  protected async receive(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const answer = await this.ask("poll", signal, { wait_s: WAIT_S });
      if (!(await this.take(answer, signal)) && !signal.aborted) return;
    }
  }
}
