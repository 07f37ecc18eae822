import type { HeliographError } from "./errors.js";
import { type TransportName } from "./transport.js";
/** What there is to say about the connection to the server. */
export type Connection = {
    readonly name: "connecting";
} | {
    readonly name: "online";
    readonly transport: TransportName;
} | {
    readonly name: "waiting";
    /** The close code, or 0. */
    readonly code: number;
    /** When the next attempt comes. */
    readonly inMs: number;
    /** Why, in one sentence. */
    readonly text: string;
    /** What the server said, if it refused to take us at the moment. */
    readonly error: HeliographError | null;
} | {
    readonly name: "ended";
    /** The close code, or 0. */
    readonly code: number;
    /** Why, in one sentence. */
    readonly text: string;
    /** The same as an error; none if it was us who left. */
    readonly error: HeliographError | null;
};
/** Whether the protocol asks a client to come back after this close code. */
export declare function mayReconnect(code: number): boolean;
