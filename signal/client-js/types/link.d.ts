import { Candidates } from "./candidates.js";
import type { ChannelInit } from "./channel.js";
/** What becomes of a link. */
export type LinkState = "connecting" | "connected" | "interrupted" | "failed" | "closed";
/** The roles of a pair, as the server gives them. */
export interface Roles {
    /** Whether this side gives way when offers collide. */
    polite: boolean;
    /** Whether this side makes the first offer. */
    offers: boolean;
}
/** What a link is made with. */
export interface LinkSetup extends Roles {
    /** Whether this side begins, whatever its role: it replaces a link that was closed. */
    begins: boolean;
    /** Attempts to find a path that links before it have made in vain. */
    attempts?: number;
    rtc: RTCConfiguration;
    /** Sends a value to the other side through the server; `false` if that can't be done. */
    signal(data: object): boolean;
    /** The state has changed. */
    changed(): void;
    /** The path may have changed. */
    moved(): void;
    /** Asks the other side, over the link, to look for another path. */
    askRestart(): void;
    /** Only another link can find a path: so many attempts were made in vain. */
    spent(attempts: number): void;
    /** A track of the other side has come. */
    track(event: RTCTrackEvent): void;
    /** The other side has done something that can't be applied, or the browser refused a step. */
    broken(error: Error): void;
}
/** What came by the server: any of these. */
export interface SignalData {
    description?: RTCSessionDescriptionInit;
    candidate?: RTCIceCandidateInit | null;
    link?: string;
}
/** A connection to one other peer. */
export declare class Link {
    #private;
    /** What the other side knows this connection by. */
    readonly id: string;
    /** What it calls its own; `null` until it says so. */
    remoteId: string | null;
    readonly pc: RTCPeerConnection;
    readonly reliable: RTCDataChannel;
    readonly lossy: RTCDataChannel;
    readonly control: RTCDataChannel;
    readonly candidates: Candidates;
    readonly begunAt: number;
    /** Who had which role when it was made: so the numbers of channels are shared out. */
    readonly isEven: boolean;
    /** Whether only paths by the relay are used. */
    readonly isRelayOnly: boolean;
    state: LinkState;
    connectedInMs: number | null;
    restarts: number;
    /** Whether a description of ours was sent, and one of theirs applied. */
    offered: boolean;
    answered: boolean;
    constructor(setup: LinkSetup);
    /** Makes this side's end of a channel. */
    make(label: string, id: number, init: ChannelInit): RTCDataChannel;
    /** Whether messages get through, or may again in a moment. */
    get isAlive(): boolean;
    /** The most bytes of a message; `null` before it is negotiated. */
    get messageMax(): number | null;
    /** Takes other roles: those of new seats. What was on the way to the old ones is said again. */
    seat(roles: Roles): void;
    /** Takes what the other side sent through the server, in the order of its arrival. */
    handleSignal(data: SignalData): void;
    /** Takes other servers. A path by a relay moves there before the old credentials expire. */
    setIceServers(iceServers: RTCIceServer[]): void;
    /** Looks for another path. What is open stays open. */
    restart(): void;
    /** The other side asks for another path; if too often, it looks for one itself. */
    handleAsked(): void;
    /** Looks for another path, and has patience anew if there is none. */
    retry(): void;
    /** Closes the connection; the other side notices at once. */
    close(): void;
}
