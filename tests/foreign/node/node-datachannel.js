// node-datachannel: libdatachannel over libjuice, which speaks TURN over UDP only.

import { RTCPeerConnection } from "node-datachannel/polyfill";

export function connect(server) {
  return new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
}
