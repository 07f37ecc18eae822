// @roamhq/wrtc: libwebrtc, the library of Chromium. It accepts no certificate of a test over TLS.

import wrtc from "@roamhq/wrtc";

export function connect(server) {
  return new wrtc.RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" });
}
