import { Emitter } from "./emitter.js";
/** What can be sent: text, or bytes. */
export type Message = string | ArrayBuffer | ArrayBufferView;
/** How a channel treats its messages. */
export interface ChannelOptions {
    /** Late messages are dropped instead of sent again: `ordered: false, maxRetransmits: 0`. */
    lossy?: boolean;
    /** Whether messages arrive in the order of sending; `true` unless `lossy`. */
    ordered?: boolean;
    /** How often a message is sent again at most. */
    maxRetransmits?: number;
    /** For how many milliseconds a message is sent again. */
    maxPacketLifeTimeMs?: number;
    /**
     * How many bytes may wait to be sent. Beyond that a reliable channel refuses messages (`full`), and
     * a lossy one drops them. Without it 1 MiB, and 16 KiB if lossy: newer state will come soon enough.
     */
    bufferedMax?: number;
}
/** What a channel tells. */
export interface ChannelEvents {
    /** A message has come. Those before the first listener wait for it. */
    message: string | Uint8Array;
    /** Messages reach the other side from now on. */
    open: undefined;
    /** The channel is closed. */
    close: undefined;
    /** Less than a quarter of what may wait waits to be sent. */
    drained: undefined;
}
/** What has become of a channel. */
export type ChannelState = "connecting" | "open" | "closed";
/** How a channel is made on both ends. */
export interface ChannelInit {
    ordered: boolean;
    maxRetransmits?: number;
    maxPacketLifeTime?: number;
}
/** How both ends make a channel with these options. */
export declare function initOf(options: ChannelOptions): ChannelInit;
/** Messages to one peer, as text or bytes. */
export declare class Channel extends Emitter<ChannelEvents> {
    #private;
    /** What both sides call it. */
    readonly label: string;
    /** Made by the SDK: see `Peer.channel`. */
    constructor(label: string, options: ChannelOptions, onClose: (channel: Channel) => void);
    /** How it is made on both ends. */
    get init(): ChannelInit;
    /** Whether messages may be lost. */
    get isLossy(): boolean;
    /** Whether messages arrive in the order of sending. */
    get isOrdered(): boolean;
    /** Whether messages reach the other side. */
    get state(): ChannelState;
    /** How many bytes wait to be sent. */
    get bufferedAmount(): number;
    /** How many messages a lossy channel has dropped before they were sent. */
    get dropped(): number;
    /** The largest message, in bytes. */
    get messageBytesMax(): number;
    /**
     * Sends a message. What is sent on a reliable channel that isn't open yet waits, 256 KiB at most. A
     * lossy one drops what it can't send now: then the result is `false`.
     *
     * Throws a `HeliographError`: `closed`; `too_large` with the limit; `full` if too much waits, after
     * which `drained()` says when there is room.
     */
    send(message: Message): boolean;
    /** Resolves once there is room for more: less than a quarter of what may wait does. */
    drained(): Promise<void>;
    /** Closes both ends. */
    close(): void;
}
