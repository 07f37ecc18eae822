import type { Carried, Cursor, Frame, Transport, TransportName } from "../transport.js";
/** The close code of a connection that broke. */
export declare const BROKEN = 1006;
/** A session by requests: frames go by POST, and come by what `listen` asks for. */
export declare abstract class HttpTransport implements Transport {
    #private;
    abstract readonly name: TransportName;
    abstract readonly quietMs: number;
    abstract readonly acknowledges: boolean;
    protected readonly carried: Carried;
    protected constructor(carried: Carried);
    send(frame: Frame): void;
    close(): void;
    leave(frames: Frame[]): void;
    /** Whether it hasn't been closed. */
    protected get isOpen(): boolean;
    /** Receives the session's frames until the signal says no more; throws if that fails. */
    protected abstract receive(signal: AbortSignal): Promise<void>;
    /** Asks for the session's frames. */
    protected ask(path: string, signal: AbortSignal, query?: {}): Promise<Response>;
    /** Passes the frames of an answer on, or some of them; whether it was a list of frames. */
    protected take(answer: Response, signal: AbortSignal, isWanted?: (frame: Frame) => boolean): Promise<boolean>;
}
/** Sends frames although the page may end now: by a request that goes on without it. */
export declare function sayGoodbye(carried: Pick<Carried, "endpoint">, cursor: Cursor, texts: string[]): void;
