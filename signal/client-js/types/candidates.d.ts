/** How many of each type there are. */
export type Counts = Partial<Record<"host" | "srflx" | "prflx" | "relay", number>>;
/** An error of gathering, as browsers report it. */
export interface GatherError {
    url: string;
    code: number;
    text: string;
}
/** Counts candidates and keeps the last errors. */
export declare class Candidates {
    #private;
    readonly local: Counts;
    readonly remote: Counts;
    readonly errors: GatherError[];
    /** Whether one socket was seen at several outside addresses. */
    varies: boolean;
    /** One of ours was gathered. */
    gathered(candidate: RTCIceCandidate): void;
    /** One of theirs has come. */
    came(candidate: RTCIceCandidateInit): void;
    /** Gathering met an error. */
    failed({ url, errorCode, errorText }: RTCPeerConnectionIceErrorEvent): void;
}
