import type { JsonObject, LeaveReason, MemberFrame } from "./frames.js";
import { Peer, type PeerHost } from "./peer.js";
/** What a roster is told to do things with, and tells. */
export interface RosterHost extends Omit<PeerHost, "changed" | "claimed"> {
    /** The most links. */
    readonly linksMax: number;
    joined(peer: Peer): void;
    left(peer: Peer, reason: LeaveReason): void;
    rejoined(peer: Peer, before: string): void;
}
/** The peers of a room. */
export declare class Roster {
    #private;
    /** All of them by their last id, in the order in which they came. */
    readonly peers: Map<string, Peer>;
    constructor(host: RosterHost);
    /** We have a new seat; these are the others. Open links stay. */
    welcome(self: string, members: MemberFrame[]): void;
    /** The room as it is, on the same seat as before. */
    resync(members: MemberFrame[]): void;
    /** A member has come. */
    joined(member: MemberFrame): void;
    /** A member has lost its seat. Its link lives on if it may come back. */
    left(id: string, reason: LeaveReason): void;
    /** A member has lost the server, or has it again. */
    away(id: string, away: boolean): void;
    /** A member tells something else about itself. */
    metadata(id: string, metadata: JsonObject): void;
    /** A member has sent something by the server. */
    signal(from: string, data: unknown): void;
    /** We leave: all links are closed. */
    close(): void;
}
