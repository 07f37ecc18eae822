import type { ErrorFrame } from "./frames.js";
/** The URLs of one server. */
export declare class Endpoint {
    /** Its root, by HTTP, with a slash at the end. */
    readonly base: URL;
    /**
     * Reads `http:`, `https:`, `ws:` and `wss:` addresses: of the server's root, of a page there, or of
     * its WebSocket. Relative ones are read as a page's links are.
     */
    constructor(address: string | URL);
    /** The WebSocket. */
    get socket(): string;
    /** A resource of the protocol, such as `send`. */
    at(path: string, query?: Record<string, string | number | boolean | undefined>): URL;
    /** Whether the server answers by HTTP at all. */
    answers(): Promise<boolean>;
    /** Asks for a resource and reads its JSON; errors of the server are thrown. */
    ask<Answer>(url: URL, init?: RequestInit): Promise<Answer>;
}
/** Whether something read from JSON is an error frame. */
export declare function isError(said: unknown): said is ErrorFrame;
