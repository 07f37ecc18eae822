import type { Endpoint } from "./endpoint.js";
/** A way to carry frames: WebSocket, server-sent events with POST, long polls with POST. */
export type TransportName = "websocket" | "events" | "poll";
/** All of them, in the order in which they are tried. */
export declare const TRANSPORTS: readonly TransportName[];
/** The close code by which a connection is given up, but not the session. */
export declare const GIVEN_UP = 4900;
/** The close code by which a client leaves. */
export declare const LEFT = 1000;
/** A frame to send. */
export interface Frame {
    readonly type: string;
    readonly [field: string]: unknown;
}
/** Which session a transport carries, and how far. */
export interface Cursor {
    session: string;
    key: string;
    /** The number of the last frame that came; telling it acknowledges it. */
    seq: number;
    /** How often the session was asked for. */
    attempt: number;
}
/** What a transport is told to do things with, and tells. */
export interface Carried {
    readonly endpoint: Endpoint;
    /** Where the session is; `null` if there is none. */
    cursor(): Cursor | null;
    /** Frames may be sent: first a `hello` or `resume`. */
    opened(): void;
    /** A text frame has come. */
    received(text: string): void;
    /** The connection is over. */
    closed(code: number, text: string): void;
}
/** One connection. After `close` or `leave` it tells nothing more. */
export interface Transport {
    readonly name: TransportName;
    /** How much longer than others it may be silent. */
    readonly quietMs: number;
    /** Whether asking for frames acknowledges those before. */
    readonly acknowledges: boolean;
    /** Sends a frame. The first one is a `hello` or `resume`; more `hello`s may follow errors. */
    send(frame: Frame): void;
    /** Gives the connection up. */
    close(code: number): void;
    /** Sends these frames, even if the page ends now, and gives the connection up. */
    leave(frames: Frame[]): void;
}
/** Opens a connection; tests have their own. */
export type OpenTransport = (name: TransportName, carried: Carried) => Transport;
