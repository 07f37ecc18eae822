// A game: positions go 60 times a second over the lossy channel, where the newest one wins, and what
// must be agreed on (where the sun is, who has how many) is the room's state, set by compare-and-set.

import { join } from "/heliograph.js";

const STEP_MS = 1000 / 60;
const SHOW_MS = 500;

/** How far a player gets in a second, and how near it must come; in parts of the field. */
const SPEED = 0.7;
const REACH = 0.04;

/** Over how many positions loss is counted. */
const WINDOW = 120;

/** Where the sun is in a room that nobody has told yet. */
const START = { sun: { x: 0.5, y: 0.5 }, suns: {} };

/** A position on the wire: number, x, y, when it was sent, and what the sender last had from us. */
const MOTION_BYTES = 4 + 4 + 4 + 8 + 8;

const HUES = [
  "--hue-0",
  "--hue-1",
  "--hue-2",
  "--hue-3",
  "--hue-4",
  "--hue-5",
  "--hue-6",
  "--hue-7",
];
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const $ = (id) => document.getElementById(id);
const field = $("field");
const name = `Player ${100 + Math.floor(Math.random() * 900)}`;
if (!location.hash) location.hash = crypto.getRandomValues(new Uint32Array(2)).join("-");

const me = { x: Math.random(), y: Math.random(), number: 0, steppedAt: performance.now() };
const held = new Set();
const others = new Map();
let pointer = null;
let isCatching = false;

/** What there is to know of another player. */
class Player {
  constructor(peer) {
    this.peer = peer;
    this.x = this.y = null;
    /** The number of the newest position. */
    this.newest = -1;
    /** What has come of the last `WINDOW`: numbers, and when. */
    this.came = [];
    /** When the newest was sent, by its clock, and came, by ours. */
    this.sentAt = this.cameAt = 0;
    this.latencyMs = null;
  }

  take(bytes) {
    if (bytes.byteLength !== MOTION_BYTES) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const number = view.getUint32(0);
    this.came.push({ number, at: performance.now() });
    this.came = this.came.filter((one) => one.number > this.newest - WINDOW);
    if (number <= this.newest) return; // Late: a newer one is on the screen.
    this.newest = number;
    [this.x, this.y] = [view.getFloat32(4), view.getFloat32(8)];
    [this.sentAt, this.cameAt] = [view.getFloat64(12), performance.now()];
    const echo = view.getFloat64(20);
    if (echo > 0) this.#measure(this.cameAt - echo);
  }

  /** Half of the round trip, smoothed; nobody's clock needs to be right. */
  #measure(roundTripMs) {
    const latency = roundTripMs / 2;
    this.latencyMs = this.latencyMs === null ? latency : 0.9 * this.latencyMs + 0.1 * latency;
  }

  /** What to send back, so that the other side can measure: its clock, plus for how long we had it. */
  echo(now) {
    return this.sentAt > 0 ? this.sentAt + (now - this.cameAt) : 0;
  }

  get loss() {
    if (this.came.length === 0) return null;
    const first = Math.min(...this.came.map(({ number }) => number));
    return 1 - this.came.length / (this.newest - first + 1);
  }

  /** How many have come in the last second. */
  get rate() {
    const since = performance.now() - 1000;
    return this.came.filter(({ at }) => at > since).length;
  }
}

async function play() {
  const create = { state: START };
  const room = await join(location.origin, location.hash.slice(1), { metadata: { name }, create });
  room.on("peer", (peer) => {
    const player = new Player(peer);
    others.set(peer, player);
    peer.on("message", ({ channel, data }) => channel === peer.lossy && player.take(data));
    peer.on("left", () => others.delete(peer));
  });
  room.on("connection", ({ name }) => say(name === "online" ? "" : "The server is away; play on."));
  room.on("ended", (error) => error && say(error.message));
  say("");
  setInterval(() => step(room), STEP_MS);
  setInterval(() => showPlayers(room), SHOW_MS);
  const draw = () => {
    paint(stateOf(room));
    requestAnimationFrame(draw);
  };
  draw();
}

function step(room) {
  const now = performance.now();
  move((now - me.steppedAt) / 1000);
  me.steppedAt = now;
  me.number += 1;
  for (const player of others.values()) player.peer.lossy.send(write(player.echo(now), now));
  const { sun } = stateOf(room);
  if (Math.hypot(me.x - sun.x, me.y - sun.y) < REACH) grab(room);
}

function write(echo, now) {
  const view = new DataView(new ArrayBuffer(MOTION_BYTES));
  view.setUint32(0, me.number);
  view.setFloat32(4, me.x);
  view.setFloat32(8, me.y);
  view.setFloat64(12, now);
  view.setFloat64(20, echo);
  return view.buffer;
}

/** Goes as the keys say, or towards the pointer. */
function move(seconds) {
  let [x, y] = [...held].reduce(([x, y], key) => [x + KEYS[key][0], y + KEYS[key][1]], [0, 0]);
  if (pointer) [x, y] = [pointer.x - me.x, pointer.y - me.y];
  const length = Math.hypot(x, y);
  if (length === 0) return;
  const far = Math.min(SPEED * seconds, pointer ? length : Infinity);
  me.x = clamp(me.x + (x / length) * far);
  me.y = clamp(me.y + (y / length) * far);
}

/** Ours, if the state is still the one that we saw: of two who are there at once, one is refused. */
async function grab(room) {
  if (isCatching) return;
  isCatching = true;
  const { suns: before } = stateOf(room);
  const { version } = room.state;
  const suns = { ...before, [name]: (before[name] ?? 0) + 1 };
  try {
    await room.setState({ sun: place(), suns }, { ifVersion: version });
  } catch (error) {
    if (error.code !== "conflict") say(error.message);
  }
  isCatching = false;
}

function showPlayers(room) {
  const { suns } = stateOf(room);
  const rows = [[name, suns[name] ?? 0, "–", "–", "60/s"]];
  for (const { peer, latencyMs, loss, rate } of others.values()) {
    const latency = latencyMs === null ? "–" : `${latencyMs.toFixed(latencyMs < 10 ? 1 : 0)} ms`;
    const lost = loss === null ? "–" : `${(loss * 100).toFixed(1)} %`;
    const other = peer.metadata.name;
    rows.push([other, suns[other] ?? 0, latency, lost, peer.path ? `${rate}/s` : peer.state]);
  }
  $("players").replaceChildren(...rows.map(tableRow));
}

function tableRow(cells) {
  const row = document.createElement("tr");
  row.append(
    ...cells.map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    }),
  );
  return row;
}

function paint({ sun }) {
  const ratio = devicePixelRatio;
  const [width, height] = [field.clientWidth, field.clientHeight];
  if (field.width !== width * ratio) [field.width, field.height] = [width * ratio, height * ratio];
  const context = field.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(document.documentElement);
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  const dot = ({ x, y }, radius, color, text = "") => {
    context.fillStyle = style.getPropertyValue(color);
    context.beginPath();
    context.arc(x * width, y * height, radius, 0, 2 * Math.PI);
    context.fill();
    context.fillStyle = style.getPropertyValue("--ink");
    context.fillText(text, x * width, y * height - 16);
  };
  dot(sun, 16, "--sun-fill");
  [...others.values()].forEach((player, index) => {
    if (player.x === null) return;
    dot(player, 9, HUES[index % HUES.length], player.peer.metadata.name);
  });
  dot(me, 9, "--hue-me", "you");
}

function stateOf(room) {
  return room.state.value ?? START;
}

function place() {
  return { x: 0.1 + 0.8 * Math.random(), y: 0.1 + 0.8 * Math.random() };
}

function clamp(value) {
  return Math.min(1, Math.max(0, value));
}

function say(text) {
  $("status").textContent = text || `You are ${name}. Send others the address of this page.`;
}

function steer({ offsetX, offsetY }) {
  pointer = { x: offsetX / field.clientWidth, y: offsetY / field.clientHeight };
}

field.addEventListener("pointermove", steer);
field.addEventListener("pointerdown", steer);
field.addEventListener("pointerleave", () => (pointer = null));
addEventListener("keydown", (event) => {
  if (!KEYS[event.key]) return;
  event.preventDefault();
  pointer = null;
  held.add(event.key);
});
addEventListener("keyup", ({ key }) => held.delete(key));
addEventListener("blur", () => held.clear());
play().catch((error) => say(error.message));
