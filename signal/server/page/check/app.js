// The page /check: tries what a room, a call and a game need, one after the other, and says in
// plain words what gets through from here.

import { chooseRoom, readFragment } from "./entry.js";
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
} from "./judge.js";
import { median, splitServers, transportOf, tryMapping, tryRelay, tryStun } from "./paths.js";
import { writeReport } from "./report.js";
import { EventsSeat, PollSeat, Problem, WebSocketSeat } from "./seat.js";
import { openWays, verdict } from "./verdict.js";
import { Headline, Row } from "./view.js";

/** Round trips that are measured of each way to the server. */
const ECHOES = 5;

/** How often the seat that is kept meanwhile shows that it is there. */
const REST_MS = 4000;

/** The same as on the page of rooms, so that who comes from there needs no token again. */
const TOKEN_KEY = "heliograph.token";

const TRANSPORTS = ["udp", "tcp", "tls"];
const SEATS = { websocket: WebSocketSeat, events: EventsSeat, poll: PollSeat };

const $ = (id) => document.getElementById(id);
const base = new URL("./", location.href.split("#")[0]);
const headline = new Headline();

const rows = {
  http: row("server", "http", "HTTP", "Asks the server for something small."),
  websocket: row(
    "server",
    "websocket",
    "WebSocket",
    "Joins an empty room and talks to itself there.",
  ),
  events: row(
    "server",
    "events",
    "Events (SSE)",
    "The same where there is no WebSocket, as a stream.",
  ),
  poll: row("server", "poll", "Long polls", "The same with nothing but short requests."),
  stun: row("direct", "stun", "Outside address (STUN)", "Asks by UDP as whom the world sees you."),
  mapping: row("direct", "mapping", "NAT mapping", "Compares as whom two addresses see you."),
};
let relays = [];
let entry = takeEntry();

function row(list, id, title, about) {
  return new Row($(list), { id, title, about });
}

function relayRow(transport, number = 1, server = null) {
  const name = transport.toUpperCase();
  const title = `Relay over ${name}${number > 1 ? ` (${number})` : ""}`;
  const id = `relay-${transport}${number > 1 ? `-${number}` : ""}`;
  const about = "Two connections of this page meet there, and nowhere else.";
  const url = server?.urls;
  const row = new Row($("relay"), { id, title, about, url, hasFacts: true });
  return Object.assign(row, { transport, server });
}

function setRelays(next) {
  for (const each of relays) each.remove();
  relays = next();
}

/** Runs all checks, one after the other, so that none disturbs another. */
async function check() {
  headline.begin();
  for (const each of Object.values(rows)) each.reset();
  setRelays(() => TRANSPORTS.map((transport) => relayRow(transport)));
  await checkHttp();
  const room = entry.room || chooseRoom(entry.token, random());
  const open = [];
  for (const name of Object.keys(SEATS)) if (await checkSeat(name, room)) open.push(name);
  if (!globalThis.RTCPeerConnection) endPaths(judgeNoWebRtc());
  else if (open.length === 0) endPaths(judgeUntried());
  else await checkPaths(open[0], room).catch(untried);
  const found = judgements();
  headline.end(verdict(found), openWays(found));
}

/** The seat was lost meanwhile, or the browser refused a step. */
function untried(error) {
  console.warn("not all could be tried:", error.message);
  endPaths(judgeUntried());
}

function advance() {
  const all = [...Object.values(rows), ...relays];
  headline.advance(all.filter(({ judgement }) => judgement).length / all.length);
}

function end(row, judgement) {
  row.end(judgement);
  advance();
}

async function checkHttp() {
  rows.http.begin();
  const times = [];
  try {
    for (let count = 0; count < ECHOES; count += 1) {
      const began = performance.now();
      const answer = await fetch(new URL("favicon.svg", base), { cache: "no-store" });
      await answer.arrayBuffer();
      times.push(performance.now() - began);
    }
    end(rows.http, judgeHttp({ rttMs: median(times) }));
  } catch (problem) {
    end(rows.http, judgeHttp({ problem }));
  }
}

/** Whether a seat can be taken this way. */
async function checkSeat(name, room) {
  rows[name].begin();
  const seat = seatBy(name, room);
  try {
    await seat.open();
    const times = [];
    for (let count = 0; count < ECHOES; count += 1) times.push(await seat.echo());
    end(rows[name], judgeTransport(name, { rttMs: median(times) }));
    await seat.leave();
    return true;
  } catch (error) {
    const problem =
      error instanceof Problem ? error : new Problem("strange", { text: error.message });
    end(rows[name], judgeTransport(name, { problem, hasToken: entry.token !== "" }));
    return false;
  }
}

function seatBy(name, room) {
  const hello = { room, metadata: { name: "check" } };
  if (entry.token) hello.token = entry.token;
  return new SEATS[name]({ base, hello });
}

/** What needs ICE servers: their credentials are good as long as the seat is kept. */
async function checkPaths(name, room) {
  const seat = seatBy(name, room);
  const { ice_servers: told } = await seat.open();
  const rest = setInterval(() => seat.echo().catch(() => {}), REST_MS);
  const leave = () => seat.leave();
  addEventListener("pagehide", leave);
  try {
    const servers = splitServers(told);
    const turn = servers.filter(({ urls }) => urls.startsWith("turn"));
    arrangeRelays(turn);
    await checkDirect(servers, turn);
    for (const row of relays) if (row.server) await checkRelay(row);
  } finally {
    removeEventListener("pagehide", leave);
    clearInterval(rest);
    await leave();
  }
}

/** One row for each TURN URL; below them the transports that aren't offered. */
function arrangeRelays(servers) {
  const offered = [];
  const absent = [];
  for (const transport of TRANSPORTS) {
    const own = servers.filter(({ urls }) => transportOf(urls) === transport);
    own.forEach((server, index) => offered.push({ server, transport, number: index + 1 }));
    if (own.length === 0) absent.push(transport);
  }
  setRelays(() => [
    ...offered.map(({ server, transport, number }) => relayRow(transport, number, server)),
    ...absent.map((transport) => relayRow(transport)),
  ]);
  for (const row of relays) if (!row.server) row.end(judgeNoRelay(row.transport));
}

async function checkDirect(servers, turn) {
  const stunServers = servers.filter(({ urls }) => urls.startsWith("stun"));
  rows.stun.begin();
  const stun = await tryStun(stunServers);
  const outside = stun.candidates.map(({ address, port }) => written(address, port));
  end(rows.stun, judgeStun({ ...stun, addresses: [...new Set(outside)] }));
  if (stun.candidates.length === 0) return end(rows.mapping, judgeMapping(null));
  rows.mapping.begin();
  const relay = turn.find(({ urls }) => transportOf(urls) === "udp");
  const seen = relay ? await tryMapping(stunServers, relay).catch(() => null) : null;
  end(rows.mapping, judgeMapping(readMapping(stun, seen)));
}

async function checkRelay(row) {
  row.begin();
  end(row, judgeRelay(await tryRelay(row.server, (text) => row.begin(text))));
}

function written(address, port) {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function endPaths(judgement) {
  const left = [rows.stun, rows.mapping, ...relays].filter((row) => !row.judgement);
  for (const row of left) end(row, judgement);
}

function judgements() {
  const judged = Object.entries(rows).map(([name, row]) => [name, row.judgement]);
  const ways = relays.map(({ transport, judgement }) => ({ transport, ...judgement }));
  const isOffered = ({ state }) => state !== "absent" && state !== "unknown";
  return { ...Object.fromEntries(judged), relays: ways.filter(isOffered) };
}

/** The token and the room of the address. A token isn't left there, but a reload keeps it. */
function takeEntry() {
  const { room, token } = readFragment(location.hash);
  if (token) history.replaceState(null, "", room ? `#${room}` : location.pathname);
  return { room, token: keepToken(token) };
}

function keepToken(token) {
  try {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    return token || sessionStorage.getItem(TOKEN_KEY) || "";
  } catch {
    return token; // Storage may be forbidden.
  }
}

function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}

/** Copies the report; where the browser doesn't let us (plain http), it shows it, selected. */
async function copyReport() {
  const page = location.href.split("#")[0];
  const inOrder = [rows.http, rows.websocket, rows.events, rows.poll, rows.stun, rows.mapping];
  const text = writeReport({
    verdict: verdict(judgements()),
    rows: [...inOrder, ...relays].map(({ told }) => told),
    page,
    browser: navigator.userAgent,
    at: new Date(),
  });
  $("report").value = text;
  try {
    await navigator.clipboard.writeText(text);
    confirmCopy();
  } catch {
    $("report").hidden = false;
    $("report").select();
    if (document.execCommand("copy")) confirmCopy();
  }
}

function confirmCopy() {
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy report"), 2000);
}

$("copy").addEventListener("click", copyReport);
$("again").addEventListener("click", check);
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  entry = { ...entry, token: keepToken($("token").value.trim()) };
  $("token").value = "";
  check();
});
addEventListener("hashchange", () => {
  if (location.hash) location.reload();
});
for (const id of ["main", "small"]) $(id).hidden = false;
check();
