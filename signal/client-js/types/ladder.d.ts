import type { TransportName } from "./transport.js";
/** Which transport to use: the first, unless it is blocked; then the next. */
export declare class Ladder {
    #private;
    constructor(names: readonly TransportName[]);
    /** The one to use. */
    get current(): TransportName;
    /** Whether it may be blocked: it has failed again and again. */
    get doubtful(): boolean;
    /** It works. */
    worked(): void;
    /** It couldn't be opened. */
    failed(): void;
    /** Goes on to the next one, and from the last one to the first. */
    step(now: number): void;
    /** After a connection that worked: the first one may not be blocked any more. */
    lookUp(now: number): void;
}
