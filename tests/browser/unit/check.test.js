// The page /check: what a measurement means, and what all of them mean together.

import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseRoom, readFragment } from "../../../signal/server/page/check/entry.js";
import {
  judgeHttp,
  judgeMapping,
  judgeNoRelay,
  judgeNoWebRtc,
  judgeRelay,
  judgeStun,
  judgeTransport,
  judgeUntried,
  readMapping,
} from "../../../signal/server/page/check/judge.js";
import { splitServers, transportOf } from "../../../signal/server/page/check/paths.js";
import { writeReport } from "../../../signal/server/page/check/report.js";
import { openWays, verdict } from "../../../signal/server/page/check/verdict.js";

const OUTSIDE = "203.0.113.7:50000";
const GOOD_RELAY = { setupMs: 300, rttMs: 40, loss: 0, bitsPerS: 20e6, errors: [] };
const DEAD_RELAY = { errors: [{ url: "turn:x", code: 701, text: "timed out" }] };

const blocked = (name, code = "unreachable", { hasToken, ...more } = {}) =>
  judgeTransport(name, { problem: { code, message: "", ...more }, hasToken });

/** The judgements of a network where all is fine, but for what is said otherwise. */
function rows(changes = {}) {
  const { relays = ["udp", "tcp", "tls"], dead = [], ...others } = changes;
  return {
    http: judgeHttp({ rttMs: 20 }),
    websocket: judgeTransport("websocket", { rttMs: 20 }),
    events: judgeTransport("events", { rttMs: 40 }),
    poll: judgeTransport("poll", { rttMs: 40 }),
    stun: judgeStun({ addresses: [OUTSIDE], ms: 30, servers: 1 }),
    mapping: judgeMapping("same"),
    relays: [
      ...relays.map((transport) => ({ transport, ...judgeRelay(GOOD_RELAY) })),
      ...dead.map((transport) => ({ transport, ...judgeRelay(DEAD_RELAY) })),
    ],
    ...others,
  };
}

const noStun = judgeStun({ addresses: [], ms: null, servers: 1 });
const stunNotOffered = judgeStun({ addresses: [], ms: null, servers: 0 });
const varies = judgeMapping("varies");
const untold = judgeMapping(null);
const noSignaling = (code, more) =>
  Object.fromEntries(
    ["websocket", "events", "poll"].map((name) => [name, blocked(name, code, more)]),
  );

const VERDICTS = [
  [{}, "good", "Everything works: direct connections are likely"],
  [{ mapping: judgeMapping("unknown") }, "good", "Everything works: direct connections are likely"],
  [{ mapping: varies }, "good", "Everything works: most calls will go through the relay"],
  [{ relays: ["udp"] }, "good", "Everything works: direct connections are likely"],
  [
    { relays: ["udp"], dead: ["tls"] },
    "good",
    "All that matters works: direct connections are likely",
    /can't be used over TLS.*open the relay's ports/,
  ],
  [
    { stun: noStun, mapping: untold, relays: ["tcp", "tls"], dead: ["udp"] },
    "fair",
    "Your network blocks UDP: calls work through the relay over TCP and TLS only",
    /lets UDP through/,
  ],
  [
    { stun: noStun, mapping: untold, relays: ["tls"], dead: ["udp", "tcp"] },
    "fair",
    "Your network blocks UDP: calls work through the relay over TLS only",
  ],
  [
    { stun: stunNotOffered, mapping: untold, relays: ["tcp"] },
    "fair",
    "Calls work through the relay over TCP",
    /can't be judged/,
  ],
  [
    { stun: noStun, mapping: untold, relays: ["udp"] },
    "fair",
    "Calls work, but only through the relay",
  ],
  [
    { stun: noStun, mapping: untold, relays: [], dead: ["udp", "tls"] },
    "bad",
    "Rooms work, but calls don't: nothing gets through, direct or relayed",
    /another network/,
  ],
  [
    { stun: noStun, mapping: untold, relays: [] },
    "bad",
    "Rooms work, but calls don't: nothing gets through, direct or relayed",
  ],
  [
    { relays: [], dead: ["udp"] },
    "fair",
    "Direct connections are likely, but the relay doesn't work from here",
    /open the relay's ports/,
  ],
  [
    { mapping: varies, relays: [], dead: ["udp"] },
    "bad",
    "Most calls won't work: this network needs the relay, which doesn't work from here",
  ],
  [
    { relays: [] },
    "fair",
    "Direct connections are likely, but this server offers no relay",
    /Ask the operator for a relay/,
  ],
  [
    { mapping: varies, relays: [] },
    "bad",
    "Most calls won't work: this network needs a relay, and the server offers none",
  ],
  [
    { stun: stunNotOffered, mapping: untold, relays: [] },
    "fair",
    "Rooms work, but this server offers neither STUN nor a relay",
  ],
  [
    { websocket: blocked("websocket") },
    "fair",
    "Calls work: direct connections are likely",
    /WebSockets don't get through/,
  ],
  [
    { events: blocked("events", "held") },
    "good",
    "All that matters works: direct connections are likely",
    /only where it is blocked/,
  ],
  [
    { poll: judgeTransport("poll", { rttMs: 900 }) },
    "fair",
    "Calls work: direct connections are likely",
    /slow/,
  ],
  [noSignaling("unreachable"), "bad", "No room can be joined from here", /blocked/],
  [
    { ...noSignaling("unreachable"), http: judgeHttp({ problem: new Error("offline") }) },
    "bad",
    "The server can't be reached",
    /online/,
  ],
  [
    noSignaling("refused", { refusal: "unauthorized", message: "a token is needed" }),
    "ask",
    "This server lets in only who shows a token",
    /Who sent you here.*#token=/,
  ],
  [
    noSignaling("refused", { refusal: "unauthorized", message: "it has expired", hasToken: true }),
    "ask",
    "This server doesn't take this token",
    /it has expired/,
  ],
  [
    noSignaling("refused", { refusal: "server_full", message: "the server is full" }),
    "bad",
    "The server is there, but doesn't let this page in",
    /the server is full/,
  ],
  [
    { stun: judgeNoWebRtc(), mapping: judgeNoWebRtc(), relays: [] },
    "bad",
    "Rooms work, but this browser can't make calls",
  ],
];

for (const [changes, level, title, more = /^/] of VERDICTS) {
  test(`verdict: ${title} (${JSON.stringify(Object.keys(changes))})`, () => {
    const said = verdict(rows(changes));
    assert.equal(said.title, title);
    assert.equal(said.level, level);
    assert.match(`${said.text} ${said.advice}`, more);
  });
}

test("the picture shows the ways that are open", () => {
  assert.deepEqual(openWays(rows()), { direct: true, relayed: true });
  assert.deepEqual(openWays(rows({ mapping: varies })), { direct: false, relayed: true });
  const dead = rows({ stun: noStun, mapping: untold, relays: [], dead: ["udp"] });
  assert.deepEqual(openWays(dead), { direct: false, relayed: false });
});

test("what a relay refuses is told by its code, and so is what to do", () => {
  for (const [code, row, advice] of [
    [401, /credentials.*\(401 Unauthorized\)/, /TURN secret or its clock/],
    [486, /enough of this user's/, /Close other calls/],
    [508, /full/, /relay is full/],
    [499, /refuses it.*\(499/, /another network/],
  ]) {
    const text = code === 401 ? "Unauthorized" : "No";
    const refused = judgeRelay({ errors: [{ url: "turn:x", code, text }] });
    assert.equal(refused.state, "failed");
    assert.match(refused.text, row);
    const relays = [{ transport: "udp", ...refused }];
    assert.match(verdict({ ...rows(), relays }).advice, advice);
  }
  assert.match(judgeRelay(DEAD_RELAY).text, /Can't be reached \(701\)/);
  assert.match(judgeRelay({ errors: [] }).text, /Can't be reached:/);
});

test("a relay that works but is slow, loses packets or has no room says so", () => {
  for (const [changes, words] of [
    [{ rttMs: 900 }, /takes long/],
    [{ loss: 0.1 }, /voices will break up/],
    [{ bitsPerS: 200_000 }, /no room for video/],
    [{ rttMs: null, loss: 1 }, /most packets get lost/],
  ]) {
    const judged = judgeRelay({ ...GOOD_RELAY, ...changes });
    assert.equal(judged.state, "slow");
    assert.match(judged.text, words);
  }
  assert.equal(judgeRelay(GOOD_RELAY).state, "fine");
});

test("a problem with a way to the server is told as what it is", () => {
  assert.match(blocked("websocket").text, /proxy or a firewall/);
  assert.match(blocked("events", "held").text, /holds them back/);
  assert.match(blocked("poll", "silent").text, /swallows/);
  const strange = blocked("poll", "strange", { message: "502 Bad Gateway" });
  assert.match(strange.text, /502 Bad Gateway/);
  assert.equal(judgeHttp({ rttMs: 2000 }).state, "slow");
  assert.equal(judgeUntried().state, "unknown");
  assert.equal(judgeNoRelay("tls").state, "absent");
});

const stunned = (candidates, more) => ({
  candidates: candidates.map(([foundation, port]) => ({ foundation, port })),
  servers: candidates.length,
  complete: true,
  errors: [],
  ...more,
});

test("a mapping is the same, or varies, or can't be told", () => {
  const one = stunned([["a", 1]]);
  assert.equal(readMapping(one, "srflx"), "same", "the relay sees what STUN saw");
  assert.equal(readMapping(one, "prflx"), "varies", "the relay sees something else");
  assert.equal(readMapping(one, null), "unknown", "one server alone can't tell");
  const both = stunned([["a", 1]], { servers: 2 });
  assert.equal(readMapping(both, null), "same", "two servers saw one address");
  assert.equal(readMapping({ ...both, complete: false }, null), "unknown", "one is missing");
  assert.equal(readMapping({ ...both, errors: [{}] }, null), "unknown", "one failed");
  const two = stunned([
    ["a", 1],
    ["a", 2],
  ]);
  assert.equal(readMapping(two, null), "varies", "one socket has two addresses");
  const interfaces = stunned([
    ["a", 1],
    ["b", 2],
  ]);
  assert.equal(readMapping(interfaces, null), "same", "two sockets have one each");
});

test("a token and a room may stand in the address", () => {
  assert.deepEqual(readFragment("#token=a.b-_c="), { room: "", token: "a.b-_c=" });
  assert.deepEqual(readFragment("#demo?token=a.b"), { room: "demo", token: "a.b" });
  assert.deepEqual(readFragment("#demo"), { room: "demo", token: "" });
  assert.deepEqual(readFragment(""), { room: "", token: "" });
  assert.deepEqual(readFragment("#a b"), { room: "", token: "" });
});

test("the room is one that the token is good for", () => {
  const jwt = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;
  assert.equal(chooseRoom("", "r1"), "check-r1");
  assert.equal(chooseRoom("opaque", "r1"), "check-r1");
  assert.equal(chooseRoom(jwt({ sub: "ada" }), "r1"), "check-r1");
  assert.equal(chooseRoom(jwt({ room: "demo" }), "r1"), "demo");
  assert.equal(chooseRoom(jwt({ room: ["game-*", "x"] }), "r1"), "game-check-r1");
  assert.equal(chooseRoom(jwt({ room: `${"x".repeat(63)}*` }), "r1").length, 64);
  assert.equal(chooseRoom(jwt({ room: 7 }), "r1"), "check-r1");
});

test("servers are tried one URL at a time, by what they are reached", () => {
  const told = [{ urls: "stun:a:1" }, { urls: ["turn:a:1", "turns:b:2"], username: "u" }];
  assert.deepEqual(splitServers(told), [
    { urls: "stun:a:1" },
    { urls: "turn:a:1", username: "u" },
    { urls: "turns:b:2", username: "u" },
  ]);
  assert.deepEqual(splitServers(undefined), []);
  assert.equal(transportOf("turn:a:1"), "udp");
  assert.equal(transportOf("turn:a:1?transport=tcp"), "tcp");
  assert.equal(transportOf("turns:a:1?transport=tcp"), "tls");
});

test("the report says all that the page does, in lines", () => {
  const judged = rows({ stun: noStun, mapping: untold, relays: ["tls"], dead: ["udp"] });
  const { relays, ...others } = judged;
  const told = [
    ...Object.entries(others).map(([title, row]) => ({ title, ...row })),
    ...relays.map((row) => ({ title: row.transport, url: `turn:${row.transport}`, ...row })),
  ];
  const report = writeReport({
    verdict: verdict(judged),
    rows: told,
    page: "https://meet.example/check",
    browser: "a browser",
    at: new Date(0),
  });
  assert.match(report, /^Heliograph check of https:\/\/meet.example\/check\n1970-01-01T00:00:00/);
  assert.match(report, /\nYour network blocks UDP: .* over TLS only\.\n/);
  assert.match(report, /\nfailed   stun       no answer\n/);
  assert.match(
    report,
    /\nfine     tls        set up 300 ms, round trip 40 ms, loss 0 %, rate 20 Mbit\/s\n/,
  );
  assert.match(report, /\n +turn:udp\n/);
});
