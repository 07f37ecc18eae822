// What is read out of a browser's report about a link.

import assert from "node:assert/strict";
import { test } from "node:test";
import { readChecks, readFigures, readPath } from "../build/stats.js";

function report({ local, remote, ...pair }) {
  const candidate = (type, candidateType) => ({ type, candidateType, protocol: "udp" });
  return new Map(
    Object.entries({
      T: { type: "transport", selectedCandidatePairId: "P" },
      P: { type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R", ...pair },
      L: candidate("local-candidate", local),
      R: candidate("remote-candidate", remote),
    }),
  );
}

test("a path is relayed if either end is on a relay", () => {
  const kind = (local, remote) => readPath(report({ local, remote })).kind;
  assert.equal(kind("host", "prflx"), "direct");
  assert.equal(kind("relay", "srflx"), "relayed");
  assert.equal(kind("prflx", "relay"), "relayed");
});

test("a path by a relay is named by how the relay is reached", () => {
  const relayed = report({ local: "relay", remote: "host" });
  assert.equal(readPath(relayed).protocol, "udp");
  relayed.get("L").relayProtocol = "tls";
  assert.equal(readPath(relayed).protocol, "tls");
});

test("a path tells its round trip in milliseconds, and nothing before it was measured", () => {
  const ends = { local: "host", remote: "host" };
  assert.equal(readPath(report({ ...ends, currentRoundTripTime: 0.25 })).rttMs, 250);
  assert.equal(readPath(report(ends)).rttMs, null);
  assert.equal(readPath(new Map()), null);
});

test("the pair in use is found where there is no transport entry", () => {
  for (const inUse of [{ selected: true }, { nominated: true, state: "succeeded" }]) {
    const other = report({ local: "host", remote: "host", ...inUse });
    other.delete("T");
    assert.equal(readPath(other).kind, "direct");
  }
});

test("loss is that of the checks that keep a path up, and of media both ways", () => {
  const ends = { local: "host", remote: "host" };
  const checks = { requestsSent: 2, consentRequestsSent: 8, responsesReceived: 9 };
  const busy = report({ ...ends, ...checks, requestsReceived: 3, bytesSent: 7 });
  assert.deepEqual(readChecks(busy), { sent: 10, answered: 9, heard: 3 });
  const { loss, bytesSent, bytesReceived } = readFigures(busy);
  assert.ok(Math.abs(loss.checks - 0.1) < 1e-9, String(loss.checks));
  assert.deepEqual([loss.media, bytesSent, bytesReceived], [null, 7, 0]);
  busy.set("I", { type: "inbound-rtp", packetsReceived: 30, packetsLost: 10 });
  busy.set("O", { type: "outbound-rtp", packetsSent: 60 });
  busy.set("M", { type: "remote-inbound-rtp", packetsLost: 15 });
  assert.equal(readFigures(busy).loss.media, 0.25);
});
