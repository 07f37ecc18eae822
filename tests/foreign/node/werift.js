// werift: ICE, TURN, DTLS and SCTP in TypeScript.

import { RTCPeerConnection } from "werift";

export function connect(server) {
  const turnTlsOptions = { rejectUnauthorized: false };
  return new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay", turnTlsOptions });
}
