// What `RTCPeerConnection.getStats()` says about a link.

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
  loss: { media: number | null; checks: number | null };
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
export function readPath(report: Report): Path | null {
  const pair = selectedPair(report);
  const local = report.get(text(pair?.localCandidateId)) as Entry | undefined;
  const remote = report.get(text(pair?.remoteCandidateId)) as Entry | undefined;
  if (!pair || !local || !remote) return null;
  const relayed = local.candidateType === "relay" || remote.candidateType === "relay";
  return {
    kind: relayed ? "relayed" : "direct",
    local: text(local.candidateType),
    remote: text(remote.candidateType),
    protocol: (text(local.relayProtocol) || text(local.protocol) || "udp") as Path["protocol"],
    rttMs: milliseconds(pair.currentRoundTripTime),
  };
}

/** The figures that a report has. */
export function readFigures(report: Report): Omit<PeerStats, "restarts" | "connectedInMs"> {
  const path = readPath(report);
  const pair = selectedPair(report);
  const checks = readChecks(report, pair ? [pair] : []);
  return {
    path,
    rttMs: path?.rttMs ?? null,
    loss: {
      media: mediaLoss(report),
      checks: checks.sent > 0 ? 1 - Math.min(1, checks.answered / checks.sent) : null,
    },
    bytesSent: number(pair?.bytesSent),
    bytesReceived: number(pair?.bytesReceived),
  };
}

/** How often paths were checked: questions sent, answers to them, and questions that came. */
export function readChecks(
  report: Report,
  pairs: Entry[] = entries(report, "candidate-pair"),
): { sent: number; answered: number; heard: number } {
  const sum = (field: string) => pairs.reduce((total, pair) => total + number(pair[field]), 0);
  // Those that only keep a path up are counted apart.
  const sent = sum("requestsSent") + sum("consentRequestsSent");
  return { sent, answered: sum("responsesReceived"), heard: sum("requestsReceived") };
}

/** How many of their candidates were only found by checks. */
export function countFound(report: Report): number {
  return entries(report, "remote-candidate").filter((one) => one.candidateType === "prflx").length;
}

/** The state of the encryption, where the browser says. */
export function readDtls(report: Report): string | undefined {
  const state = entries(report, "transport")[0]?.dtlsState;
  return typeof state === "string" ? state : undefined;
}

function selectedPair(report: Report): Entry | undefined {
  const transport = entries(report, "transport").find((entry) => entry.selectedCandidatePairId);
  if (transport) return report.get(text(transport.selectedCandidatePairId)) as Entry | undefined;
  const pairs = entries(report, "candidate-pair");
  return (
    pairs.find((pair) => pair.selected) ?? // Firefox
    pairs.find((pair) => pair.nominated && pair.state === "succeeded")
  );
}

function mediaLoss(report: Report): number | null {
  const [ours, theirs] = [entries(report, "outbound-rtp"), entries(report, "inbound-rtp")];
  const lost = [...theirs, ...entries(report, "remote-inbound-rtp")];
  const sum = (of: Entry[], field: string) => of.reduce((all, one) => all + number(one[field]), 0);
  const lostPackets = Math.max(0, sum(lost, "packetsLost"));
  const packets = sum(ours, "packetsSent") + sum(theirs, "packetsReceived");
  return packets > 0 ? Math.min(1, lostPackets / (packets + sum(theirs, "packetsLost"))) : null;
}

function entries(report: Report, type: string): Entry[] {
  const found: Entry[] = [];
  report.forEach((entry: Entry) => entry.type === type && found.push(entry));
  return found;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function milliseconds(seconds: unknown): number | null {
  return typeof seconds === "number" && Number.isFinite(seconds) ? seconds * 1000 : null;
}
