// What there is to say about the connection to the server, and when to come back to it.

import type { HeliographError } from "./errors.js";
import { LEFT, type TransportName } from "./transport.js";

/** Close codes after which a client stays away, and the first of the range for that. */
const FINAL = [LEFT, 1002, 1007, 1009];
const NEVER_FROM = 4100;

/** What there is to say about the connection to the server. */
export type Connection =
  | { readonly name: "connecting" }
  | { readonly name: "online"; readonly transport: TransportName }
  | {
      readonly name: "waiting";
      /** The close code, or 0. */
      readonly code: number;
      /** When the next attempt comes. */
      readonly inMs: number;
      /** Why, in one sentence. */
      readonly text: string;
      /** What the server said, if it refused to take us at the moment. */
      readonly error: HeliographError | null;
    }
  | {
      readonly name: "ended";
      /** The close code, or 0. */
      readonly code: number;
      /** Why, in one sentence. */
      readonly text: string;
      /** The same as an error; none if it was us who left. */
      readonly error: HeliographError | null;
    };

/** Whether the protocol asks a client to come back after this close code. */
export function mayReconnect(code: number): boolean {
  return code < NEVER_FROM && !FINAL.includes(code);
}
