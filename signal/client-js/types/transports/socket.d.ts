import { type Carried, type Frame, type Transport } from "../transport.js";
/** A connection by WebSocket. */
export declare class SocketTransport implements Transport {
    #private;
    readonly name = "websocket";
    readonly quietMs = 0;
    readonly acknowledges = false;
    constructor(carried: Carried);
    send(frame: Frame): void;
    close(code?: number): void;
    leave(frames: Frame[]): void;
}
