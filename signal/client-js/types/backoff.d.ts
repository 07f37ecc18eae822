/** What a `Backoff` may be told. */
export interface BackoffOptions {
    /** The longest first pause. */
    firstMs?: number;
    /** The longest pause at all. */
    maxMs?: number;
    /** Gives numbers from 0 to 1. */
    random?: () => number;
}
/** A growing, random pause in milliseconds. */
export declare class Backoff {
    #private;
    constructor({ firstMs, maxMs, random }?: BackoffOptions);
    /** The next pause, not shorter than `leastMs`. */
    next(leastMs?: number): number;
    /** Starts again with the first pause: it worked. */
    reset(): void;
}
