import type { Counts, GatherError } from "./candidates.js";
import type { Link } from "./link.js";
import { type Path } from "./stats.js";
/** What one side knows of a link. */
export interface LinkReport {
    /** What has become of it. */
    state?: string;
    /** For how many seconds there has been this link. */
    for_s?: number;
    /** Whether only paths by the relay are used. */
    relay_only?: boolean;
    /** Whether a description was sent. */
    offered?: boolean;
    /** Whether one of the other side was applied. */
    answered?: boolean;
    /** The own candidates, by type. */
    local?: Counts;
    /** Those of the other side. */
    remote?: Counts;
    /** Whether all own candidates are there. */
    gathered?: boolean;
    /** `varies`: one socket is seen at several outside addresses (a symmetric NAT). */
    mapping?: "same" | "varies";
    /** Connectivity checks: sent, answered, and heard from the other side. */
    checks?: {
        sent: number;
        answered: number;
        heard: number;
    };
    /** The state of the encryption. */
    dtls?: string;
    /** The last errors of gathering. */
    errors?: GatherError[];
    /** The path in use. */
    path?: Omit<Path, "rttMs"> & {
        rtt_ms?: number;
    };
    /** How often another path was looked for. */
    restarts?: number;
    /** How long it took to connect. */
    connected_in_ms?: number;
}
/** Why a pair is connected or not, as far as the server and both sides can tell. */
export interface Diagnosis {
    /** What it is, for programs: see docs/protocol.md; `signaling_lost` if the server can't be asked. */
    verdict: string;
    /** On which side: none if that can't be said. */
    side?: "yours" | "theirs" | "both";
    /** What it is, in one sentence. */
    text: string;
    /** What to do. */
    advice: string;
    /** What this side has reported. */
    yours?: LinkReport;
    /** What the other side has reported. */
    theirs?: LinkReport;
    /** What the relay knows of both. */
    relay?: {
        yours?: object;
        theirs?: object;
    };
}
/** What is known of a link now. */
export declare function reportOn(link: Link): Promise<LinkReport>;
/** What can be said without the server. */
export declare function withoutServer(yours: LinkReport | undefined): Diagnosis;
