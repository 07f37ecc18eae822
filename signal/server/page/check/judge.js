// What a measurement means, in one plain sentence.
//
// A judgement has `state` (`fine`, `slow`, `limited`, `failed`, `unknown`, or `absent` if it isn't
// offered), `value` (short), `text`, and where it failed a `cause` for the verdict.

/** A round trip to the server, above which a room feels late. */
const SERVER_RTT_MS_MAX = 300;

/** There and back by way of the relay, above which people begin to talk at the same time. */
const RELAY_RTT_MS_MAX = 400;

/** The share of lost packets above which a voice breaks up. */
const LOSS_MAX = 0.03;

/** Below this a call has no room for video. */
const BITS_PER_S_MIN = 1_000_000;

/** Refusals of the server that a token would help. */
const TOKEN_REFUSALS = ["unauthorized", "forbidden"];

/** Codes of a TURN server, and what they mean for who looks at the page. */
const RELAY_CODES = {
  401: "The relay doesn't believe the credentials that the server gave.",
  403: "The relay forbids it.",
  437: "The relay has mixed us up with somebody else. Check again.",
  441: "The relay doesn't believe the credentials that the server gave.",
  486: "The relay has enough of this user's connections for now.",
  508: "The relay is full.",
};

/** Plain HTTP: the median round trip, or the problem. */
export function judgeHttp({ rttMs, problem }) {
  if (problem) return failed("no answer", "The server doesn't answer.", "unreachable");
  const value = milliseconds(rttMs);
  if (rttMs > SERVER_RTT_MS_MAX) return slow(value, "The server answers, but it takes long.");
  return fine(value, "The server answers.");
}

const WORKS = {
  websocket: "Gets through, and stays open.",
  events: "Come as they are sent: nothing holds them back.",
  poll: "Gets through: rooms work even where nothing else does.",
};

const BLOCKED = {
  websocket: "Doesn't get through: a proxy or a firewall refuses it.",
  events: "Don't get through: a proxy or a firewall refuses them.",
  poll: "Doesn't get through: a proxy or a firewall refuses it.",
};

/**
 * A transport of signaling: its name, and the median round trip or the problem, which isn't the
 * same for who has shown a token and who hasn't.
 */
export function judgeTransport(name, { rttMs, problem, hasToken = false }) {
  if (problem) return judgeProblem(name, problem, hasToken);
  const value = milliseconds(rttMs);
  if (rttMs > SERVER_RTT_MS_MAX) return slow(value, "Gets through, but it takes long.");
  return fine(value, WORKS[name]);
}

function judgeProblem(name, { code, refusal, message }, hasToken) {
  switch (code) {
    case "refused":
      return judgeRefusal(refusal, message, hasToken);
    case "held":
      return failed(
        "held back",
        "A proxy holds them back until it has many: they come late.",
        "held",
      );
    case "silent":
      return failed(
        "no answer",
        "Nothing comes back: something on the way swallows it.",
        "blocked",
      );
    case "strange":
      return failed(
        "blocked",
        `Somebody else answers (${message}): a proxy, or a wrong path.`,
        "blocked",
      );
    default:
      return failed("blocked", BLOCKED[name], "blocked");
  }
}

function judgeRefusal(refusal, message, hasToken) {
  const isAboutTokens = TOKEN_REFUSALS.includes(refusal);
  if (isAboutTokens && !hasToken) return failed("refused", "The server asks for a token.", "token");
  const text = `The server says: ${sentence(message)}`;
  return failed("refused", text, isAboutTokens ? "bad_token" : "refused");
}

/** STUN over UDP: outside addresses as `address:port`, how long it took, how many were asked. */
export function judgeStun({ addresses, ms, servers }) {
  if (servers === 0) return absent("This server offers no STUN.");
  if (addresses.length === 0)
    return failed("no answer", "No answer by UDP: this network seems to block it.", "blocked");
  return fine(milliseconds(ms), `From outside you are ${addresses.join(" and ")}.`);
}

/**
 * Whether a NAT shows one socket by one address to all, from candidates of the STUN servers asked
 * and what the relay saw (`srflx`, `prflx` or `null`): `same`, `varies` or `unknown`.
 */
export function readMapping({ candidates, servers, complete, errors }, seenByRelay) {
  if (seenByRelay === "srflx") return "same";
  if (seenByRelay === "prflx") return "varies";
  const bases = candidates.map(({ foundation }) => foundation);
  const several = new Set(bases).size < bases.length;
  if (several) return "varies";
  const allAnswered = complete && errors.length === 0 && candidates.length > 0;
  return allAnswered && servers > 1 ? "same" : "unknown";
}

/** The mapping as `readMapping` gives it, or `null` without an outside address. */
export function judgeMapping(mapping) {
  switch (mapping) {
    case "same":
      return fine("same", "Everybody sees the same address: direct connections are likely.");
    case "varies":
      return {
        state: "limited",
        value: "varies",
        text: "Each sees another address of yours (symmetric NAT): the relay will be needed.",
      };
    case "unknown":
      return unknown("Takes a second address of the server that can be asked; here is only one.");
    default:
      return unknown("Takes an outside address, and none was found.");
  }
}

/** One TURN URL: what `tryRelay` gives. */
export function judgeRelay({ setupMs, rttMs, loss, bitsPerS, errors }) {
  if (setupMs === undefined) return judgeRelayFailure(errors);
  const facts = [
    ["Set up", milliseconds(setupMs)],
    ["Round trip", milliseconds(rttMs)],
    ["Loss", `${(loss * 100).toFixed(loss > 0 && loss < 0.1 ? 1 : 0)} %`],
    ["Rate", megabits(bitsPerS)],
  ];
  const value = milliseconds(rttMs);
  const troubles = [
    rttMs === null && "most packets get lost",
    rttMs > RELAY_RTT_MS_MAX && "it takes long",
    loss > LOSS_MAX && "packets get lost, so voices will break up",
    bitsPerS < BITS_PER_S_MIN && "there is no room for video",
  ].filter(Boolean);
  if (troubles.length > 0) return { ...slow(value, `Works, but ${list(troubles)}.`), facts };
  return { ...fine(value, "Calls and games get through this way."), facts };
}

function judgeRelayFailure(errors) {
  const told = errors.find(({ code }) => code < 700);
  if (told) {
    const text = RELAY_CODES[told.code] ?? "The relay refuses it.";
    return failed("refused", `${text} (${told.code} ${told.text})`.replace("..", "."), told.code);
  }
  const code = errors[0]?.code;
  const how = code ? ` (${code})` : "";
  return failed("no answer", `Can't be reached${how}: a firewall, or nobody is there.`, "blocked");
}

/** A relay that isn't there to be tried. */
export function judgeNoRelay(transport) {
  return absent(`This server offers no relay over ${transport.toUpperCase()}.`);
}

/** All that needs WebRTC, in a browser without. */
export function judgeNoWebRtc() {
  return failed("off", "This browser has no WebRTC, or it is switched off.", "webrtc");
}

/** What wasn't tried, since no server was told to us. */
export function judgeUntried() {
  return { ...unknown("It takes a seat in a room."), value: "not tried" };
}

function fine(value, text) {
  return { state: "fine", value, text };
}

function slow(value, text) {
  return { state: "slow", value, text };
}

function failed(value, text, cause) {
  return { state: "failed", value, text, cause };
}

function unknown(text) {
  return { state: "unknown", value: "can't tell", text };
}

function absent(text) {
  return { state: "absent", value: "not offered", text };
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** `a`, `a and b`, or `a, b and c`. */
export function list(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function milliseconds(ms) {
  if (ms === null) return "–";
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

function megabits(bitsPerS) {
  const mega = bitsPerS / 1_000_000;
  return `${mega < 10 ? mega.toFixed(1) : Math.round(mega)} Mbit/s`;
}
