import { Channel, type ChannelInit, type ChannelOptions } from "./channel.js";
/** The numbers of the channels that every link has. */
export declare const RELIABLE_ID = 0;
export declare const LOSSY_ID = 1;
export declare const CONTROL_ID = 2;
/** What a switchboard is told to do things with, and tells. */
export interface Board {
    /** Makes an end of a channel. */
    make(label: string, id: number, init: ChannelInit): RTCDataChannel;
    /** The most bytes of a message; `null` if it isn't known. */
    messageMax(): number | null;
    /** The other side has opened a channel. */
    opened(channel: Channel): void;
    /** The other side says where it sits now. */
    claimed(seat: string): void;
    /** The other side asks for another path to be looked for. */
    restarts(): void;
}
/** Opens and closes named channels. */
export declare class Switchboard {
    #private;
    /** `isEven`: whether this side takes the even numbers. */
    constructor(control: RTCDataChannel, isEven: boolean, board: Board);
    /** The channel of this label: the one there is, or a new one. */
    open(label: string, options: ChannelOptions): Channel;
    /** Tells the other side where we sit now. */
    sit(seat: string): void;
    /** Asks the other side to look for another path. */
    askRestart(): void;
    /** All channels are closed, with the link. */
    end(): void;
}
