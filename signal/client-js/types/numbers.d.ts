import { HeliographError } from "./errors.js";
/** What a frame's number says: the next one, one that has come before, or others are missing. */
export type Turn = "next" | "again" | "gap";
/** The frames that have come. */
export declare class Came {
    #private;
    /** Counts from frame `seq` on, which has come. `bytesMax` may wait to be acknowledged. */
    constructor(seq?: number, bytesMax?: number);
    /** What a frame's number says. */
    take(seq: number, bytes: number): Turn;
    /** The last number, which the server is told by this. */
    tell(): number;
    /** Whether the server doesn't know of all of them. */
    get news(): boolean;
    /** Whether so much has come that it is to be told now. */
    get urgent(): boolean;
}
/** A request as it is sent. */
export interface Numbered {
    readonly type: string;
    readonly id: number;
    readonly [field: string]: unknown;
}
/** Who wants to know what becomes of a request. */
interface Waiter {
    resolve(): void;
    reject(error: HeliographError): void;
}
/** Our own numbered requests until the server says what became of them. */
export declare class Kept {
    #private;
    /** Those that the server hasn't acknowledged. */
    get frames(): Numbered[];
    /** Numbers a request and keeps it; `null` if too many are kept. */
    push(frame: {
        type: string;
    }, waiter?: Waiter | null): Numbered | null;
    /** Takes note that the requests up to this number need not be sent again. */
    spare(id: number): void;
    /** Takes note that the requests up to this number were carried out: refusals came before. */
    ack(id: number): void;
    /** Takes note that a request was refused; `false` if nobody waits to know. */
    refuse(id: number, error: HeliographError): boolean;
    /** Nothing more will be heard of any of them. */
    fail(error: HeliographError): void;
}
export {};
