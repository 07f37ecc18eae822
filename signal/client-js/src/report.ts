// What this side knows of a link, for the server to find out why it doesn't connect
// (docs/protocol.md).

import type { Counts, GatherError } from "./candidates.js";
import type { Link } from "./link.js";
import { type Path, countFound, readChecks, readDtls, readPath } from "./stats.js";

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
  checks?: { sent: number; answered: number; heard: number };
  /** The state of the encryption. */
  dtls?: string;
  /** The last errors of gathering. */
  errors?: GatherError[];
  /** The path in use. */
  path?: Omit<Path, "rttMs"> & { rtt_ms?: number };
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
  relay?: { yours?: object; theirs?: object };
}

/** What is known of a link now. */
export async function reportOn(link: Link): Promise<LinkReport> {
  const { pc, candidates } = link;
  const stats = await pc.getStats().catch((): RTCStatsReport => new Map());
  const path = readPath(stats);
  const dtls = readDtls(stats);
  const found = countFound(stats);
  return {
    state: link.state,
    for_s: Math.round((performance.now() - link.begunAt) / 100) / 10,
    relay_only: link.isRelayOnly,
    offered: link.offered,
    answered: link.answered,
    local: candidates.local,
    remote: found > 0 ? { ...candidates.remote, prflx: found } : candidates.remote,
    gathered: pc.iceGatheringState === "complete",
    ...(candidates.varies && { mapping: "varies" }),
    checks: readChecks(stats),
    ...(dtls !== undefined && { dtls }),
    errors: candidates.errors,
    ...(path && { path: pathOf(path) }),
    restarts: link.restarts,
    ...(link.connectedInMs !== null && { connected_in_ms: Math.round(link.connectedInMs) }),
  };
}

function pathOf({ rttMs, ...path }: Path): Omit<Path, "rttMs"> & { rtt_ms?: number } {
  return rttMs === null ? path : { ...path, rtt_ms: rttMs };
}

/** What can be said without the server. */
export function withoutServer(yours: LinkReport | undefined): Diagnosis {
  return {
    verdict: "signaling_lost",
    side: "yours",
    text: "There is no connection to the signaling server, so the other side can't be asked.",
    advice: "Open links work on. Wait until the server is back, or check the network.",
    ...(yours && { yours }),
  };
}
