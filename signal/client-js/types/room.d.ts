import type { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { HeliographError } from "./errors.js";
import type { BroadcastFrame, Json, JsonObject, LeaveReason, Rules } from "./frames.js";
import type { Peer } from "./peer.js";
import type { TokenSource } from "./token.js";
import type { TransportName } from "./transport.js";
/** What a room is like, for who makes it by coming first (docs/protocol.md, Rooms). */
export interface RoomOptions {
    /** The most members. */
    capacity?: number;
    /** Nobody else gets in. */
    sealed?: boolean;
    /** The room is in the list of rooms. */
    public?: boolean;
    /** One of the members is the host. */
    hosted?: boolean;
    /** What newcomers must show. */
    password?: string;
    /** Who may set the state. */
    writers?: "all" | "host";
    /** How many broadcasts are kept for newcomers. */
    history?: number;
    /** The first state. */
    state?: Json;
}
/** What a host may change of a room; what isn't named stays. */
export type RulesPatch = Partial<Pick<RoomOptions, "capacity" | "sealed" | "public" | "writers">> & {
    /** `null`: none any more. */
    password?: string | null;
};
/** How a room is joined. */
export interface JoinOptions {
    /** What the others are told about this peer: an object of at most 1,024 bytes as JSON. */
    metadata?: JsonObject;
    /** Shows that one may join: a token, or what gives one whenever it is needed. */
    token?: TokenSource;
    /** The room's password. */
    password?: string;
    /** What the room is like, if this makes it. */
    create?: RoomOptions;
    /** Where broadcasts are kept: the number of the last one that is known. Those behind it come first. */
    after?: number;
    /** Uses only paths by the relay, so that no peer learns one's address. */
    relayOnly?: boolean;
    /** What may carry the session, in the order in which it is tried. */
    transports?: readonly TransportName[];
    /** Ends the attempt to join: `AbortSignal.timeout(10_000)`. */
    signal?: AbortSignal;
    /** More for each `RTCPeerConnection`. ICE servers here are used beside the server's own. */
    rtc?: RTCConfiguration;
    /** The most links: further members are `unlinked` until `restart()`. Without it 32. */
    linksMax?: number;
}
/** Something that a member has said to several. */
export interface Broadcast {
    /** The peer id of who said it: one's own if it was oneself. */
    from: string;
    /** Who said it; `null` if it was oneself, or is gone. */
    peer: Peer | null;
    /** What was said. */
    data: Json;
    /** Its number, where the room keeps broadcasts. */
    event: number | undefined;
}
/** What a room tells. */
export interface RoomEvents {
    /** Somebody is there; also those that were there before. Early ones wait for a listener. */
    peer: Peer;
    /** Somebody is gone, and its link is closed. */
    left: {
        peer: Peer;
        reason: LeaveReason;
    };
    /** The connection to the server has changed. */
    connection: Connection;
    /** The room has another state. */
    state: RoomState;
    /** The room has another host; `null`: none for the moment. */
    host: {
        host: string | null;
        term: number;
        isHost: boolean;
    };
    /** The room has other rules. */
    rules: Rules;
    /** Somebody has said something to several. Early ones wait for a listener. */
    broadcast: Broadcast;
    /** A peer has another seat, or with `null` this client itself. Links stay. */
    rejoined: {
        peer: Peer | null;
        before: string;
    };
    /** The server refused something about which nobody waits to know. */
    refused: HeliographError;
    /** The room is left, or lost for good (then with the error). Nothing more is told. */
    ended: HeliographError | null;
}
/** The state that a room keeps for its members. */
export interface RoomState {
    /** How often it was set; 0: never. */
    version: number;
    /** What it is; `null` if it was never set. */
    value: Json;
    /** The peer id of who set it; `null` if that isn't known. */
    by: string | null;
}
/** A page of what was said in a room that keeps broadcasts. */
export interface History {
    /** What was said, the oldest first. */
    events: BroadcastFrame[];
    /** The number of the last one of all. */
    last_event?: number;
    /** Whether some behind `after` are gone already. */
    missed?: boolean;
}
/**
 * A seat in a room, and links to its members.
 *
 * A lost connection to the server is resumed, and no link notices. If the seat is lost for good (the
 * server was restarted, or it took too long), another one is taken, and open links stay with it.
 */
export declare class Room extends Emitter<RoomEvents> {
    #private;
    /** The room's id. */
    readonly id: string;
    /** Resolves once this client has a seat; rejects if it won't get one. */
    readonly joined: Promise<this>;
    /**
     * Begins to join; see `joined` and the event `connection` for how it goes on.
     *
     * Throws a `HeliographError`, `bad_url`.
     */
    constructor(url: string | URL, id: string, options?: JoinOptions);
    /** This client's own id in the room; `null` before the first seat. */
    get peerId(): string | null;
    /** What this client's token says that it is. */
    get role(): string | undefined;
    /** Everybody else, by id, in the order in which they came. */
    get peers(): ReadonlyMap<string, Peer>;
    /** What the others are told about this peer. */
    get metadata(): JsonObject;
    /** The state that the room keeps. */
    get state(): RoomState;
    /** The peer id of the room's host; `null` if there is none. */
    get host(): string | null;
    /** How often the room got a host; `null` if it has none. */
    get term(): number | null;
    /** Whether this client is the host. */
    get isHost(): boolean;
    /** The room's rules; `null` if it has none. */
    get rules(): Rules | null;
    /** What there is to say about the connection to the server. */
    get connection(): Connection;
    /** Whether only paths by the relay are used. */
    get relayOnly(): boolean;
    /**
     * Says something to all, oneself included, by the server; or only to some others, or to those with
     * a role. Resolves once the server has sent it; whether it arrived nobody is told.
     */
    broadcast(data: Json, { to, role }?: {
        to?: string[];
        role?: string;
    }): Promise<void>;
    /**
     * Sets the state that the room keeps, and resolves with it. With `ifVersion` only if it still has
     * that version (0: it was never set): else it rejects with `conflict`, whose `current` is the one
     * there is.
     */
    setState(value: Json, { ifVersion }?: {
        ifVersion?: number;
    }): Promise<RoomState>;
    /** Tells the others something else about this peer. */
    setMetadata(metadata: JsonObject): Promise<void>;
    /**
     * Uses only paths by the relay from now on, or any again. Open links are made anew for it, as soon as
     * there is a connection to the server: `reliable` and `lossy` go on over the new ones, named channels
     * are closed, and what is on the way is lost.
     */
    setRelayOnly(relayOnly: boolean): void;
    /** Changes the room's rules, as its host. */
    setRules(rules: RulesPatch): Promise<void>;
    /** Makes another member the host, as the host. */
    handOver(to: string): Promise<void>;
    /** Removes a member, as the host. With `ban` it can't come back. */
    kick(peer: string, { ban }?: {
        ban?: boolean;
    }): Promise<void>;
    /**
     * Shows this token from now on; resolves once the server has taken it. Without a connection it does so at
     * once, and the token is shown on the next one.
     */
    setToken(token: TokenSource): Promise<void>;
    /** What was said behind a number, where the room keeps broadcasts; `limit` of them at most. */
    history({ after, limit }?: {
        after?: number;
        limit?: number;
    }): Promise<History>;
    /** Ends a pause before the next attempt to reach the server. */
    retryNow(): void;
    /** Leaves the room and closes every link. */
    close(): void;
}
