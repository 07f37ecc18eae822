// All judgements together: what works from here, in plain words, and what to do about the rest.

import { list } from "./judge.js";

const SIGNALING = ["websocket", "events", "poll"];
const RELAYS = ["udp", "tcp", "tls"];

const works = ({ state }) => state === "fine" || state === "slow";
const hasFailed = ({ state }) => state === "failed";

const MISMATCH = "Tell the operator that the relay's TURN secret or its clock isn't the server's.";

/** What to try when a relay refuses, by its code. */
const RELAY_ADVICE = {
  401: MISMATCH,
  441: MISMATCH,
  403: "Ask the operator why the relay forbids it.",
  486: "Close other calls, or check again in a few minutes.",
  508: "Check again later, or tell the operator that the relay is full.",
  blocked: "Try another network, such as a phone's, or ask the operator to open the relay's ports.",
};

/**
 * The verdict on `rows`, the judgements by name: `http`, `websocket`, `events`, `poll`, `stun`,
 * `mapping`, and `relays`, a list whose items also have `transport`.
 *
 * `level` is `good`, `fair`, `bad`, or `ask` (a token is needed); `title` is one sentence, `text`
 * says more, and `advice` what to do (may be empty).
 */
export function verdict(rows) {
  return withoutRooms(rows) ?? withoutWebRtc(rows) ?? withNotes(rows, ofPaths(rows));
}

/** Which ways to others are open, as far as can be told: `{ direct, relayed }`. */
export function openWays({ stun, mapping, relays }) {
  return { direct: works(stun) && mapping.value !== "varies", relayed: relays.some(works) };
}

function withoutRooms(rows) {
  const transports = SIGNALING.map((name) => rows[name]);
  if (transports.some(works)) return null;
  const refused = (wanted) => transports.find(({ cause }) => cause === wanted);
  if (refused("token")) {
    return {
      level: "ask",
      title: "This server lets in only who shows a token",
      text: "Who sent you here can give you one.",
      advice: "Enter it, or open this page with the token behind it: check#token=…",
    };
  }
  if (refused("bad_token")) {
    return {
      level: "ask",
      title: "This server doesn't take this token",
      text: refused("bad_token").text,
      advice: "Enter another one.",
    };
  }
  if (refused("refused")) {
    return {
      level: "bad",
      title: "The server is there, but doesn't let this page in",
      text: refused("refused").text,
      advice: "Check again in a minute.",
    };
  }
  if (hasFailed(rows.http)) {
    return {
      level: "bad",
      title: "The server can't be reached",
      text: "This page was loaded, but now nothing gets through to its server any more.",
      advice: "See whether this device is online, then check again.",
    };
  }
  return {
    level: "bad",
    title: "No room can be joined from here",
    text: "The server answers, but neither WebSocket nor plain HTTP gets through to its rooms.",
    advice: "Try another network. If that doesn't help, tell the operator that /v1/ is blocked.",
  };
}

function withoutWebRtc({ stun }) {
  if (stun.cause !== "webrtc") return null;
  return {
    level: "bad",
    title: "Rooms work, but this browser can't make calls",
    text: "It has no WebRTC, or a setting or an extension has switched it off.",
    advice: "Switch it on, or try another browser.",
  };
}

/** The verdict on the paths that calls, games and files can take. */
function ofPaths({ stun, mapping, relays }) {
  const working = relays.filter(works);
  const overUdp = working.some(({ transport }) => transport === "udp");
  const isUdpAsked =
    works(stun) || hasFailed(stun) || relays.some(({ transport }) => transport === "udp");
  const varies = mapping.value === "varies";
  if (!isUdpAsked && relays.length === 0) return nothingOffered();
  if (works(stun) && relays.length === 0) return noRelayOffered(varies);
  if (works(stun) && working.length === 0) return relayFails(varies, relays);
  if (works(stun)) return varies ? mostlyRelayed() : directLikely();
  if (overUdp) return relayedOnly();
  if (working.length > 0) return streamsOnly(isUdpAsked, named(working));
  return nothing(relays);
}

function directLikely() {
  return {
    level: "good",
    title: "Everything works: direct connections are likely",
    text: "Where one isn't possible, the relay steps in.",
    advice: "",
  };
}

function mostlyRelayed() {
  return {
    level: "good",
    title: "Everything works: most calls will go through the relay",
    text: "Your NAT shows each of the others another address, so direct connections are rare.",
    advice: "",
  };
}

function relayedOnly() {
  return {
    level: "fair",
    title: "Calls work, but only through the relay",
    text: "No outside address was found for direct connections.",
    advice: "",
  };
}

function streamsOnly(isUdpAsked, names) {
  if (!isUdpAsked) {
    return {
      level: "fair",
      title: `Calls work through the relay over ${names}`,
      text: "This server offers nothing over UDP, so direct connections can't be judged.",
      advice: "",
    };
  }
  return {
    level: "fair",
    title: `Your network blocks UDP: calls work through the relay over ${names} only`,
    text: "Where packets get lost, pictures and voices will halt for a moment.",
    advice: "For better calls try a network that lets UDP through, such as a phone's.",
  };
}

function noRelayOffered(varies) {
  if (!varies) {
    return {
      level: "fair",
      title: "Direct connections are likely, but this server offers no relay",
      text: "With people behind strict networks there will be no path.",
      advice: "Ask the operator for a relay (TURN).",
    };
  }
  return {
    level: "bad",
    title: "Most calls won't work: this network needs a relay, and the server offers none",
    text: "Your NAT shows each of the others another address, so direct connections are rare.",
    advice: "Ask the operator for a relay (TURN), or try another network.",
  };
}

function relayFails(varies, relays) {
  const advice = relayAdvice(relays);
  if (!varies) {
    return {
      level: "fair",
      title: "Direct connections are likely, but the relay doesn't work from here",
      text: "With people behind strict networks there will be no path.",
      advice,
    };
  }
  return {
    level: "bad",
    title: "Most calls won't work: this network needs the relay, which doesn't work from here",
    text: "Your NAT shows each of the others another address, so direct connections are rare.",
    advice,
  };
}

function nothingOffered() {
  return {
    level: "fair",
    title: "Rooms work, but this server offers neither STUN nor a relay",
    text: "Calls work only between people in the same network.",
    advice: "Ask the operator for a relay (TURN).",
  };
}

function nothing(relays) {
  return {
    level: "bad",
    title: "Rooms work, but calls don't: nothing gets through, direct or relayed",
    text: "This network seems to block UDP, and there is no relay that can be reached otherwise.",
    advice: relays.length > 0 ? relayAdvice(relays) : RELAY_ADVICE.blocked,
  };
}

/** What else there is to say, where the verdict is not bad anyway. */
function withNotes(rows, verdict) {
  if (verdict.level === "bad") return verdict;
  const notes = [];
  if (hasFailed(rows.websocket))
    notes.push("WebSockets don't get through; rooms work over plain HTTP, a little slower.");
  else if (SIGNALING.some((name) => hasFailed(rows[name])))
    notes.push(
      "Some ways without WebSocket don't get through, which matters only where it is blocked.",
    );
  const dead = rows.relays.filter(hasFailed);
  const hasDead = dead.length > 0 && rows.relays.some(works) && verdict.level === "good";
  if (hasDead) notes.push(`The relay can't be used over ${named(dead)}.`);
  const isSlow = [rows.http, ...SIGNALING.map((name) => rows[name]), ...rows.relays].some(
    ({ state }) => state === "slow",
  );
  if (isSlow) notes.push("Some of it is slow, or loses packets: see below.");
  if (notes.length === 0) return verdict;
  const isWorse = isSlow || hasFailed(rows.websocket);
  return {
    level: isWorse ? "fair" : verdict.level,
    title: verdict.title.replace(
      "Everything works",
      isWorse ? "Calls work" : "All that matters works",
    ),
    text: [verdict.text, ...notes].join(" "),
    advice: verdict.advice || (hasDead ? relayAdvice(dead) : ""),
  };
}

function named(relays) {
  const has = (wanted) => relays.some(({ transport }) => transport === wanted);
  return list(RELAYS.filter(has).map((transport) => transport.toUpperCase()));
}

function relayAdvice(relays) {
  const cause = relays.map((relay) => relay.cause).find((each) => RELAY_ADVICE[each]);
  return RELAY_ADVICE[cause] ?? RELAY_ADVICE.blocked;
}
