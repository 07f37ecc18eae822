import type { Carried } from "../transport.js";
import { HttpTransport } from "./http.js";
/** A connection by server-sent events and POST. */
export declare class EventsTransport extends HttpTransport {
    readonly name = "events";
    readonly quietMs = 0;
    readonly acknowledges = false;
    constructor(carried: Carried);
    protected receive(signal: AbortSignal): Promise<void>;
}
/** Reads the data of events from a stream of text, as much of it as these servers send. */
export declare class EventReader {
    #private;
    /** The data of the events that are complete with this piece. */
    read(piece: string): string[];
}
