/** A track that a peer sends. */
export interface RemoteTrack {
    /** The track. It ends (`ended`, or `mute`) when the peer takes it back. */
    track: MediaStreamTrack;
    /** The streams that the peer put it into. */
    streams: readonly MediaStream[];
}
/** The tracks of one peer. */
export declare class Media {
    #private;
    /** `tell` is told of tracks that come. */
    constructor(tell: (track: RemoteTrack) => void);
    /** Sends all tracks by this connection from now on. */
    attach(pc: RTCPeerConnection): void;
    /** Sends a track. */
    add(track: MediaStreamTrack, streams: MediaStream[]): void;
    /** Sends a track no more. */
    remove(track: MediaStreamTrack): void;
    /** Sends another track in the place of one. */
    replace(track: MediaStreamTrack, by: MediaStreamTrack): Promise<void>;
    /** A track has come. */
    came({ track, streams }: RTCTrackEvent): void;
}
