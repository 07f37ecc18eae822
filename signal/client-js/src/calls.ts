// Questions to the server that have an answer of their own, outside of the row of numbered requests.

import { HeliographError } from "./errors.js";

/** Their numbers begin here, where no numbered request ever comes. */
const FIRST_ID = 2 ** 40;

/** How long an answer may take. */
const TIMEOUT_MS = 10_000;

interface Call {
  resolve(answer: unknown): void;
  reject(error: HeliographError): void;
  timer: ReturnType<typeof setTimeout>;
}

/** The questions that wait for their answers. */
export class Calls {
  #next = FIRST_ID;
  #open = new Map<number, Call>();

  /** A number for a question, and what its answer will be. */
  open(): { id: number; answer: Promise<unknown> } {
    const id = this.#next;
    this.#next += 1;
    const answer = new Promise<unknown>((resolve, reject) => {
      const late = new HeliographError("timeout", "The server didn't answer: try again.", {
        retry: true,
      });
      const timer = setTimeout(() => this.fail(id, late), TIMEOUT_MS);
      this.#open.set(id, { resolve, reject, timer });
    });
    return { id, answer };
  }

  /** An answer has come. */
  answer(id: number | undefined, frame: unknown): void {
    this.#take(id)?.resolve(frame);
  }

  /** A question was refused; `false` if it is none of these. */
  fail(id: number, error: HeliographError): boolean {
    const call = this.#take(id);
    call?.reject(error);
    return call !== undefined || id >= FIRST_ID;
  }

  /** No answers will come. */
  failAll(error: HeliographError): void {
    for (const id of [...this.#open.keys()]) this.fail(id, error);
  }

  #take(id: number | undefined): Call | undefined {
    const call = this.#open.get(id ?? 0);
    if (!call || id === undefined) return undefined;
    clearTimeout(call.timer);
    this.#open.delete(id);
    return call;
  }
}
