// What the network lets through beside HTTP: STUN, the NAT's mapping, and each TURN URL by itself.

/** How long STUN may take; a browser itself asks for longer. */
const STUN_MS = 5000;

/** How long other servers may take once one has answered. */
const STUN_REST_MS = 1500;

/** How long checks with the relay may take: it is known to be there by then. */
const MAPPING_MS = 5000;

/** How long a pair of connections may take: a browser gives a TURN server up after 10 s. */
const CONNECT_MS = 12_000;

/** Round trips that are measured, and the pause between them. */
const PINGS = 12;
const PING_PAUSE_MS = 40;
const PING_WAIT_MS = 1000;

/** Packets that are counted: as a call or a game sends them, 100 a second for 2 s. */
const PACKETS = 200;
const PACKET_BYTES = 1000;
const PACKET_PAUSE_MS = 10;
const PACKET_WAIT_MS = 500;

/** As much as goes through within this time, but no more: some pay for it. */
const FLOOD_MS = 2000;
const FLOOD_BYTES_MAX = 4 * 1024 * 1024;
const FLOOD_CHUNK_BYTES = 16 * 1024;
const FLOOD_BUFFERED_MAX = 512 * 1024;

/** The servers of a `welcome`, one URL each. */
export function splitServers(iceServers) {
  return (iceServers ?? []).flatMap(({ urls, ...access }) =>
    [urls].flat().map((url) => ({ ...access, urls: url })),
  );
}

/** By what a TURN URL is reached: `udp`, `tcp` or `tls`. */
export function transportOf(url) {
  if (url.startsWith("turns:")) return "tls";
  return url.includes("transport=tcp") ? "tcp" : "udp";
}

/**
 * Asks STUN servers over UDP, all from the same socket.
 *
 * Gives `candidates` (server-reflexive ones), `errors`, the number of `servers`, whether it is
 * `complete` (all have answered or failed), and `ms` until the first answer.
 */
export async function tryStun(servers) {
  const pc = new RTCPeerConnection({ iceServers: servers });
  const errors = collectErrors(pc);
  const candidates = [];
  const began = performance.now();
  let [ms, complete] = [null, false];
  try {
    pc.createDataChannel("check");
    await new Promise((resolve) => {
      setTimeout(resolve, STUN_MS);
      pc.addEventListener("icecandidate", ({ candidate }) => {
        complete = !candidate;
        if (complete) return resolve();
        if (candidate.type !== "srflx") return;
        candidates.push(candidate);
        ms ??= performance.now() - began;
        setTimeout(resolve, STUN_REST_MS);
      });
      pc.setLocalDescription();
    });
  } finally {
    pc.close();
  }
  return { candidates, errors, servers: servers.length, complete, ms };
}

/**
 * As whom the relay sees the socket that a STUN server has seen: `srflx` as the same, `prflx` as
 * another one, `null` if it doesn't see it.
 *
 * One connection, which knows only the STUN server, connects to the relayed address of another one,
 * which was told of nothing but the outside address: so where it comes from is either that, or new.
 */
export async function tryMapping(stunServers, turnServer) {
  const open = new RTCPeerConnection({ iceServers: stunServers });
  const relayed = new RTCPeerConnection({ iceServers: [turnServer], iceTransportPolicy: "relay" });
  try {
    open.createDataChannel("check", { negotiated: true, id: 0 });
    relayed.createDataChannel("check", { negotiated: true, id: 0 });
    await open.setLocalDescription();
    await gathered(open, STUN_MS);
    const { type, sdp } = open.localDescription;
    await relayed.setRemoteDescription({ type, sdp: onlyOutside(sdp) });
    await relayed.setLocalDescription();
    await gathered(relayed, STUN_MS);
    await open.setRemoteDescription(relayed.localDescription);
    if (!(await connected(relayed, MAPPING_MS))) return null;
    return await remoteType(relayed);
  } finally {
    open.close();
    relayed.close();
  }
}

/** A description without the candidates that aren't server-reflexive. */
function onlyOutside(sdp) {
  const isInside = (line) => line.startsWith("a=candidate:") && !line.includes(" typ srflx");
  return sdp
    .split("\r\n")
    .filter((line) => !isInside(line))
    .join("\r\n");
}

async function remoteType(pc) {
  const stats = [...(await pc.getStats()).values()];
  const pair = stats.find(
    ({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded",
  );
  return stats.find(({ id }) => id === pair?.remoteCandidateId)?.candidateType ?? null;
}

/**
 * Two connections of this page meet by one TURN URL and nothing else.
 *
 * Gives `errors`, and if they met `setupMs`, `rttMs`, `loss` (0 to 1), `bitsPerS`. `tell` is told
 * what is being done.
 */
export async function tryRelay(server, tell) {
  const config = { iceServers: [server], iceTransportPolicy: "relay" };
  const ends = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
  const errors = ends.map(collectErrors);
  const [near, far] = ends.map(openChannels);
  try {
    const began = performance.now();
    tell("Two connections of this page meet on the relay.");
    negotiate(...ends).catch(() => {}); // Then they don't meet.
    const channels = [near, far].flatMap(Object.values);
    if (!(await met(ends, channels))) return { errors: errors.flat() };
    const setupMs = performance.now() - began;
    tell("Counting round trips.");
    const rttMs = await measureRoundTrip(near.lossy, far.lossy);
    tell("Counting lost packets.");
    const loss = await measureLoss(near.lossy, far.lossy);
    tell("Sending as much as gets through.");
    const bitsPerS = await measureThroughput(near.reliable, far.reliable);
    return { errors: errors.flat(), setupMs, rttMs, loss, bitsPerS };
  } finally {
    for (const pc of ends) pc.close();
  }
}

function openChannels(pc) {
  const lossy = { negotiated: true, id: 1, ordered: false, maxRetransmits: 0 };
  return {
    reliable: pc.createDataChannel("reliable", { negotiated: true, id: 0 }),
    lossy: pc.createDataChannel("lossy", lossy),
  };
}

async function negotiate(one, other) {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ]) {
    from.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate) to.addIceCandidate(candidate).catch(() => {}); // Another may do.
    });
  }
  const offer = await one.createOffer();
  await other.setRemoteDescription(offer);
  await one.setLocalDescription(offer);
  await other.setLocalDescription();
  await one.setRemoteDescription(other.localDescription);
}

/** Whether all channels open; no, as soon as one side has gathered no relayed address. */
function met(ends, channels) {
  return new Promise((resolve) => {
    setTimeout(() => resolve(false), CONNECT_MS);
    for (const channel of channels) {
      channel.addEventListener("open", () => {
        if (channels.every(({ readyState }) => readyState === "open")) resolve(true);
      });
    }
    for (const pc of ends) {
      let relayed = 0;
      pc.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate?.candidate) relayed += 1;
        if (!candidate && relayed === 0) resolve(false);
      });
    }
  });
}

async function measureRoundTrip(near, far) {
  const sentAt = new Map();
  const times = [];
  far.onmessage = ({ data }) => far.send(data);
  near.onmessage = ({ data }) => times.push(performance.now() - sentAt.get(data));
  for (let number = 0; number < PINGS; number += 1) {
    sentAt.set(String(number), performance.now());
    near.send(String(number));
    await pause(PING_PAUSE_MS);
  }
  await until(() => times.length === PINGS, PING_WAIT_MS);
  far.onmessage = null;
  return median(times);
}

async function measureLoss(near, far) {
  const packet = new Uint8Array(PACKET_BYTES);
  let came = 0;
  far.onmessage = () => (came += 1);
  const began = performance.now();
  for (let sent = 0; sent < PACKETS;) {
    const due = Math.min(PACKETS, 1 + (performance.now() - began) / PACKET_PAUSE_MS);
    for (; sent < Math.floor(due); sent += 1) near.send(packet);
    await pause(PACKET_PAUSE_MS);
  }
  await until(() => came === PACKETS, PACKET_WAIT_MS);
  return 1 - came / PACKETS;
}

async function measureThroughput(near, far) {
  const chunk = new Uint8Array(FLOOD_CHUNK_BYTES);
  const began = performance.now();
  let [sent, came, lastAt] = [0, 0, began];
  far.onmessage = ({ data }) => {
    came += data.byteLength ?? data.size;
    lastAt = performance.now();
  };
  near.bufferedAmountLowThreshold = FLOOD_BUFFERED_MAX / 2;
  const isOver = () => performance.now() - began > FLOOD_MS || sent >= FLOOD_BYTES_MAX;
  while (!isOver()) {
    while (!isOver() && near.bufferedAmount < FLOOD_BUFFERED_MAX) {
      near.send(chunk);
      sent += chunk.byteLength;
    }
    await until(() => near.bufferedAmount <= FLOOD_BUFFERED_MAX / 2, FLOOD_MS);
  }
  await until(() => came === sent, Math.max(0, FLOOD_MS - (performance.now() - began)));
  return (came * 8 * 1000) / Math.max(1, lastAt - began);
}

/** What a browser says about servers that it didn't reach: `{ url, code, text }`. */
function collectErrors(pc) {
  const errors = [];
  pc.addEventListener("icecandidateerror", ({ url, errorCode, errorText }) => {
    errors.push({ url, code: errorCode, text: errorText });
  });
  return errors;
}

function gathered(pc, ms) {
  return until(() => pc.iceGatheringState === "complete", ms);
}

function connected(pc, ms) {
  return until(() => pc.connectionState === "connected", ms);
}

/** Whether `check` comes to hold within this time. */
async function until(check, ms) {
  const end = performance.now() + ms;
  while (!check()) {
    if (performance.now() > end) return false;
    await pause(PACKET_PAUSE_MS);
  }
  return true;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[Math.floor(sorted.length / 2)];
}

function pause(ms) {
  return new Promise((resume) => setTimeout(resume, ms));
}
