import { Channel, type ChannelOptions } from "./channel.js";
import { Emitter } from "./emitter.js";
import type { JsonObject, LeaveReason, MemberFrame } from "./frames.js";
import { type LinkState } from "./link.js";
import { type RemoteTrack } from "./media.js";
import { type Diagnosis, type LinkReport } from "./report.js";
import { type Path, type PeerStats } from "./stats.js";
/**
 * What has become of the link to a peer.
 *
 * - `connecting`: a path is being looked for; `connected`: messages get through;
 * - `interrupted`: nothing gets through at the moment, another path is looked for;
 * - `failed`: there is no path so far, and it is tried again with growing pauses;
 * - `closed`: one of both sides closed it; `unlinked`: there are more members than links may be made.
 */
export type PeerState = LinkState | "unlinked";
/** What a peer tells. */
export interface PeerEvents {
    /** The link is in another state. */
    state: PeerState;
    /** The packets go another way. */
    path: Path | null;
    /** The peer has opened a channel. Those before the first listener wait for it. */
    channel: Channel;
    /** The peer sends a track. Those before the first listener wait for it. */
    track: RemoteTrack;
    /** The peer tells something else about itself. */
    metadata: JsonObject;
    /** A message on one of the channels `reliable` and `lossy`; early ones wait for a listener. */
    message: {
        channel: Channel;
        data: string | Uint8Array;
    };
    /** The peer has lost the server, or has it again. An open link works on. */
    away: boolean;
    /** The peer has lost its seat for this reason, but the link is open: it may come back (`rejoined`). */
    unseated: LeaveReason;
    /** The peer has another seat; the link is the same. `before` is its id until now. */
    rejoined: {
        before: string;
    };
    /** The peer is gone, and its link is closed. Nothing more is told. */
    left: LeaveReason;
    /** Something went wrong that costs at most a path or a track. */
    warning: Error;
}
/** What a peer needs of its room. */
export interface PeerHost {
    rtc(): RTCConfiguration;
    signal(to: string, data: object): boolean;
    /** Tells the server what is known of a link. */
    report(peer: string, link: LinkReport): void;
    /** Asks the server why a pair is connected or not. */
    diagnose(peer: string): Promise<Diagnosis>;
    /** The link has changed. */
    changed(peer: Peer): void;
    /** The peer has said over its link where it sits now. */
    claimed(peer: Peer, seat: string): void;
}
/** Another member of the room. It stays the same when it comes back on another seat. */
export declare class Peer extends Emitter<PeerEvents> {
    #private;
    /** The channel for messages that must arrive, in order. */
    readonly reliable: Channel;
    /** The channel for what is soon out of date: nothing is sent twice or waited for. */
    readonly lossy: Channel;
    /** Made by the SDK: see the room's event `peer`. */
    constructor(member: MemberFrame, host: PeerHost);
    /** The peer's id. It changes when the peer comes back on another seat (`rejoined`). */
    get id(): string;
    /** What the peer tells about itself. */
    get metadata(): JsonObject;
    /** What its token says that it is. */
    get role(): string | undefined;
    /** Whether it has no connection to the server at the moment. An open link works on. */
    get away(): boolean;
    /** Whether it has a seat in the room. Who has lost it may come back as long as the link is open. */
    get hasSeat(): boolean;
    /** What has become of the link. */
    get state(): PeerState;
    /** How the packets go; `null` while there is no path. */
    get path(): Path | null;
    /** Whether anything has come from it: who stays silent may be asleep. */
    get heard(): boolean;
    /** The connection itself, for what this SDK has no words for; `null` if there is none. */
    get connection(): RTCPeerConnection | null;
    /**
     * The channel of this label: the one there is, or a new one, which the peer is told of (`channel`).
     *
     * It opens once the peer has made its end. A peer that isn't of one of Heliograph's SDKs never
     * does; `reliable` and `lossy` work with it if it makes them too.
     *
     * Throws a `HeliographError`: `closed` without a link, `too_many`, `bad_option`.
     */
    channel(label: string, options?: ChannelOptions): Channel;
    /** Sends a track; the peer is told of it (`track`) with these streams. */
    addTrack(track: MediaStreamTrack, ...streams: MediaStream[]): void;
    /** Sends the track no more. */
    removeTrack(track: MediaStreamTrack): void;
    /** Sends another track in the place of one, without new negotiation. */
    replaceTrack(track: MediaStreamTrack, by: MediaStreamTrack): Promise<void>;
    /** Figures of the link now. */
    stats(): Promise<PeerStats>;
    /**
     * Why this pair is connected or not: the server's verdict, of what both sides and the relay know.
     * Without the server: the verdict `signaling_lost`.
     */
    diagnosis(): Promise<Diagnosis>;
    /** Looks for another path; makes a new link if there is none. What is open stays open. */
    restart(): void;
    /** Closes the link. The peer stays a member of the room; `restart` makes another link. */
    close(): void;
}
