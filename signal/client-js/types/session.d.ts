import { Backoff } from "./backoff.js";
import { type Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { Endpoint } from "./endpoint.js";
import { HeliographError } from "./errors.js";
import { type JsonObject, type RoomFrame, type WelcomeFrame } from "./frames.js";
import { type TokenSource } from "./token.js";
import { type Frame, type OpenTransport, type TransportName } from "./transport.js";
/** What a session asks for. */
export interface SessionOptions {
    endpoint: Endpoint;
    room: string;
    metadata?: JsonObject | undefined;
    token?: TokenSource | undefined;
    password?: string | undefined;
    create?: object | undefined;
    after?: number | undefined;
    transports?: readonly TransportName[] | undefined;
    backoff?: Backoff | undefined;
    open?: OpenTransport | undefined;
}
/** What a session tells. */
export interface SessionEvents {
    /** The connection to the server. */
    connection: Connection;
    /** A seat: the first, or a new one. */
    welcome: WelcomeFrame;
    /** The same seat, but what is known of the room is to be replaced. */
    resync: WelcomeFrame;
    /** What happens in the room, once each. */
    frame: RoomFrame;
    /** A request was refused about which nobody waits to know. */
    refused: HeliographError;
    /** The network has changed. */
    network: undefined;
}
/**
 * Holds a seat in one room. A lost connection is taken up again and nothing is lost; what the server
 * then doesn't know of any more is joined anew.
 */
export declare class Session extends Emitter<SessionEvents> {
    #private;
    /** What there is to say about the connection. */
    connection: Connection;
    /** The seat; `null` if there is none. */
    seat: WelcomeFrame | null;
    /** What the others are told when the next seat is asked for. */
    metadata: JsonObject | undefined;
    /** Whether the server takes reports of links. */
    takesReports: boolean;
    /** The last broadcast that has come, where the room keeps them. */
    after: number | undefined;
    /** A session that does nothing until `start`. */
    constructor(options: SessionOptions);
    /** Where the server is. */
    get endpoint(): Endpoint;
    /** Whether requests reach the server at once. */
    get isOnline(): boolean;
    /** Whether it is over. */
    get isEnded(): boolean;
    /** Opens the connection; also after it has ended, for another seat. */
    start(): void;
    /**
     * Sends a numbered request, now or once there is a connection again; `false` if it will not be
     * sent. Nobody is told what becomes of it.
     */
    post(frame: Frame): boolean;
    /** The same, but resolves once the server has carried it out. */
    request(frame: Frame): Promise<void>;
    /** Asks something that has an answer of its own; there must be a connection. */
    call<Answer>(frame: Frame): Promise<Answer>;
    /** Tells something that isn't worth keeping; `false` if there is no connection. */
    tell(frame: Frame): boolean;
    /** Shows this token from now on; resolves once the server has taken it, at once if offline. */
    setToken(source: TokenSource): Promise<void>;
    /** Ends a pause before a reconnect. */
    retryNow(): void;
    /** Gives the seat back, even if the page ends now. Nothing happens afterwards. */
    close(): void;
}
