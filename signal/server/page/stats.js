// What `RTCPeerConnection.getStats()` says about the path that was taken.

/**
 * The path in use: `{ kind: "direct" | "relayed", local, remote, protocol, rttMs, bytes }`, or
 * `null` while there is none. `local` and `remote` are candidate types: host, srflx, prflx or
 * relay.
 */
export function readPath(report) {
  const pair = selectedPair(report);
  if (!pair) return null;
  const local = report.get(pair.localCandidateId);
  const remote = report.get(pair.remoteCandidateId);
  if (!local || !remote) return null;
  const relayed = local.candidateType === "relay" || remote.candidateType === "relay";
  return {
    kind: relayed ? "relayed" : "direct",
    local: local.candidateType,
    remote: remote.candidateType,
    protocol: local.relayProtocol ?? local.protocol ?? "udp",
    rttMs: Number.isFinite(pair.currentRoundTripTime) ? pair.currentRoundTripTime * 1000 : null,
    bytes: (pair.bytesSent ?? 0) + (pair.bytesReceived ?? 0),
  };
}

function selectedPair(report) {
  const entries = [...report.values()];
  const transport = entries.find(
    (entry) => entry.type === "transport" && entry.selectedCandidatePairId,
  );
  if (transport) return report.get(transport.selectedCandidatePairId);
  const pairs = entries.filter((entry) => entry.type === "candidate-pair");
  return (
    pairs.find((pair) => pair.selected) ?? // Firefox
    pairs.find((pair) => pair.nominated && pair.state === "succeeded")
  );
}
