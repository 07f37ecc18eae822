/** How the packets of a link go. */
export interface Path {
    /** Straight to the other side, or by the relay. */
    kind: "direct" | "relayed";
    /** Our candidate's type: `host`, `srflx`, `prflx` or `relay`. */
    local: string;
    /** Theirs. */
    remote: string;
    /** How it goes: of a relayed one the way to our relay. */
    protocol: "udp" | "tcp" | "tls";
    /** The last round trip; `null` before the first. */
    rttMs: number | null;
}
/** Figures of a link. */
export interface PeerStats {
    /** How its packets go; `null` while there is no path. */
    path: Path | null;
    /** The last round trip. */
    rttMs: number | null;
    /**
     * Which share was lost: of media packets in both directions, and of the checks by which both sides
     * find out that the path is still there; `null` where nothing was sent.
     */
    loss: {
        media: number | null;
        checks: number | null;
    };
    /** Bytes of payload on the path. */
    bytesSent: number;
    /** Bytes of payload on the path. */
    bytesReceived: number;
    /** How often another path was looked for. */
    restarts: number;
    /** How long it took to connect; `null` before. */
    connectedInMs: number | null;
}
/** What browsers report, as far as it is read here: names of W3C's webrtc-stats. */
interface Entry {
    id: string;
    type: string;
    [field: string]: unknown;
}
/** A report as something to look things up in. */
export type Report = Pick<RTCStatsReport, "forEach" | "get">;
/** The path in use, or `null` while there is none. */
export declare function readPath(report: Report): Path | null;
/** The figures that a report has. */
export declare function readFigures(report: Report): Omit<PeerStats, "restarts" | "connectedInMs">;
/** How often paths were checked: questions sent, answers to them, and questions that came. */
export declare function readChecks(report: Report, pairs?: Entry[]): {
    sent: number;
    answered: number;
    heard: number;
};
/** How many of their candidates were only found by checks. */
export declare function countFound(report: Report): number;
/** The state of the encryption, where the browser says. */
export declare function readDtls(report: Report): string | undefined;
export {};
