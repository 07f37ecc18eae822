import { type RoomStateFrame } from "./frames.js";
import type { RoomOptions } from "./room.js";
/** A room in the list of rooms. */
export interface PublicRoom {
    /** Its id. */
    room: string;
    /** How many members it has. */
    members: number;
    /** How many it may have. */
    capacity: number;
    /** Whether one gets in. */
    open: boolean;
    /** Nobody else may join. */
    sealed: boolean;
    /** Newcomers must know a password. */
    locked: boolean;
    /** Since when it is there, in seconds of Unix time. */
    since: number;
    /** Its state, once it was set. */
    state?: RoomStateFrame;
}
/** Which rooms are looked for. */
export interface RoomSearch {
    /** What must hold of the state, such as `mode=duel` or `rank<1300`; 8 conditions at most. */
    where?: string[];
    /** Only rooms in which one gets. */
    open?: boolean;
    /** `room`, `members`, `since` or `state.FIELD`, with `-` the other way round. */
    sort?: string;
    /** How many at most: 50 without it, 100 at most. */
    limit?: number;
    /** Ends the request. */
    signal?: AbortSignal;
}
/** The public rooms of a server. */
export declare function listRooms(url: string | URL, search?: RoomSearch): Promise<PublicRoom[]>;
/** One public room of a server; `null` if there is no public one of this name. */
export declare function findRoom(url: string | URL, room: string, { signal }?: {
    signal?: AbortSignal;
}): Promise<PublicRoom | null>;
/** How a room is made before anybody is there. */
export interface MakeRoom {
    /** Its id; without it one that nobody can guess. */
    room?: string;
    /** What it is like. */
    options?: RoomOptions;
    /** For how many seconds it stays without members: 60 without it. */
    idleS?: number;
    /** Shows that one may join it. */
    token?: string;
    /** Ends the request. */
    signal?: AbortSignal;
}
/** Makes a room, and resolves with its id. */
export declare function makeRoom(url: string | URL, make?: MakeRoom): Promise<string>;
/** What others must be like to be matched with (docs/protocol.md, Matchmaking). */
export interface Condition {
    /** The property of the others. */
    property: string;
    /** It is this. */
    equals?: string | number;
    /** It is one of these. */
    one_of?: (string | number)[];
    /** It is so far from one's own at most. */
    within?: number;
    /** What is asked for once the ticket has waited. */
    relax?: {
        after_s: number;
        by?: number;
        to?: number;
    };
}
/** What one is, and whom one wants to meet. */
export interface Ticket {
    /** Only tickets of the same queue meet. */
    queue: string;
    /** How many players the match shall have. */
    size: number | {
        min: number;
        max: number;
    };
    /** For how many players the ticket stands; 1 without it. */
    party?: number;
    /** Where they are already, if others shall come to them; `party` counts all who are there. */
    room?: string;
    /** What others may ask for. */
    properties?: Record<string, string | number>;
    /** What the others must be like. */
    query?: Condition[];
    /** How long it waits for more players than `min`, in seconds. */
    fill_s?: number;
    /** How long it waits at all, in seconds. */
    timeout_s?: number;
}
/** A match. */
export interface Match {
    /** Where all of it meet: for `join`. */
    room: string;
    /** How many players go there. */
    players: number;
    /** Which of the seats, counted from 0, are for this ticket's players. */
    seats: number[];
}
/** How a match is looked for. */
export interface MatchOptions {
    /** Takes the ticket back. */
    signal?: AbortSignal;
    /** Posts the ticket by HTTP instead of a WebSocket. Without it: if no WebSocket opens. */
    http?: boolean;
}
/**
 * Finds others to meet; resolves once they are found, with `null` if nobody fits in time.
 *
 * Rejects with a `HeliographError`, such as `bad_ticket`, `rate_limited`, or `aborted`.
 */
export declare function match(url: string | URL, ticket: Ticket, { signal, http }?: MatchOptions): Promise<Match | null>;
