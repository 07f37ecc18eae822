import { HeliographError } from "./errors.js";
/** A token, or what gives one: asked anew for each seat, and to renew one before it expires. */
export type TokenSource = string | (() => string | Promise<string>);
interface Server {
    /** Shows the server a newer token; resolves with its answer. */
    show(token: string): Promise<{
        expires_in_s?: number;
    }>;
    /** There was no newer token to show, or it wasn't taken. */
    failed(error: HeliographError): void;
}
/** Has a token at hand. */
export declare class TokenKeeper {
    #private;
    /** The one that was given last. */
    last: string | undefined;
    constructor(source: TokenSource | undefined, server: Server);
    /** Whether somebody is to be asked for it each time. */
    get mustAsk(): boolean;
    /** Asks for a token. */
    ask(): Promise<string | undefined>;
    /** The server has taken the last one, for so many seconds if it expires. */
    shown(forS: number | undefined): void;
    /**
     * Takes another source, and shows its token at once if there is a server to see it: else when the
     * session goes on.
     */
    replace(source: TokenSource, isOnline: boolean): Promise<void>;
    /** The session goes on: shows what the server may not know yet. */
    resumed(): void;
    /** Nothing more is to be done. */
    stop(): void;
}
export {};
