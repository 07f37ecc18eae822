// Tracks to and from one peer, whatever connection carries them.

/** A track that a peer sends. */
export interface RemoteTrack {
  /** The track. It ends (`ended`, or `mute`) when the peer takes it back. */
  track: MediaStreamTrack;
  /** The streams that the peer put it into. */
  streams: readonly MediaStream[];
}

interface Sent {
  streams: MediaStream[];
  sender: RTCRtpSender | null;
}

/** The tracks of one peer. */
export class Media {
  #pc: RTCPeerConnection | null = null;
  #sent = new Map<MediaStreamTrack, Sent>();
  #tell: (track: RemoteTrack) => void;

  /** `tell` is told of tracks that come. */
  constructor(tell: (track: RemoteTrack) => void) {
    this.#tell = tell;
  }

  /** Sends all tracks by this connection from now on. */
  attach(pc: RTCPeerConnection): void {
    this.#pc = pc;
    for (const [track, sent] of this.#sent) sent.sender = pc.addTrack(track, ...sent.streams);
  }

  /** Sends a track. */
  add(track: MediaStreamTrack, streams: MediaStream[]): void {
    if (this.#sent.has(track)) return;
    const sender = this.#open()?.addTrack(track, ...streams) ?? null;
    this.#sent.set(track, { streams, sender });
  }

  /** Sends a track no more. */
  remove(track: MediaStreamTrack): void {
    const sender = this.#sent.get(track)?.sender;
    this.#sent.delete(track);
    if (sender) this.#open()?.removeTrack(sender);
  }

  /** Sends another track in the place of one. */
  async replace(track: MediaStreamTrack, by: MediaStreamTrack): Promise<void> {
    const sent = this.#sent.get(track);
    if (!sent) return this.add(by, []);
    this.#sent.delete(track);
    this.#sent.set(by, sent);
    await sent.sender?.replaceTrack(by);
  }

  /** A track has come. */
  came({ track, streams }: RTCTrackEvent): void {
    this.#tell({ track, streams });
  }

  #open(): RTCPeerConnection | null {
    return this.#pc?.signalingState === "closed" ? null : this.#pc;
  }
}
