import type { Carried } from "../transport.js";
import { HttpTransport } from "./http.js";
/** A connection by long polls and POST. */
export declare class PollTransport extends HttpTransport {
    readonly name = "poll";
    readonly quietMs: number;
    readonly acknowledges = true;
    constructor(carried: Carried);
    protected receive(signal: AbortSignal): Promise<void>;
}
