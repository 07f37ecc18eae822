// The page: a room from the link, and what is on the screen. Who is there and how messages get
// through is the SDK's.

import { ChatLog } from "./chat.js";
import { Room } from "./heliograph.js";
import { Light } from "./light.js";
import { flashes } from "./morse.js";
import {
  CHAT_LENGTH_MAX,
  NAME_LENGTH_MAX,
  cleanText,
  randomPerson,
  randomRoom,
  roomFromHash,
  tokenFromHash,
} from "./names.js";
import { LINKS_MAX, People, hueClass } from "./people.js";
import { Person } from "./person.js";
import { Field, Mover } from "./playground.js";
import { statusText } from "./status.js";
import { readChat, readMotion, writeChat, writeMotion } from "./wire.js";

const MEASURE_MS = 500;
const RETURN_MS = 3000;

/** The server answers about one link a second. */
const ASK_MS = 1000;

const NAME_KEY = "heliograph.name";
const TOKEN_KEY = "heliograph.token";

const $ = (id) => document.getElementById(id);
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

const chat = new ChatLog($("log"));
const people = new People({
  list: $("peers"),
  template: $("peer"),
  count: $("count"),
  more: $("more"),
});
const mover = new Mover($("stage"), { still: () => stillness.matches });
const me = { light: new Light(), number: 0, sentAt: performance.now() };

/** Each peer of the room as a `Person`, in the order of their arrival. */
const crowd = new Map();
let room = null;
let name = recall(NAME_KEY) || randomPerson();

function enter() {
  const token = takeToken();
  let id = roomFromHash(location.hash);
  if (!id) id = randomRoom();
  if (location.hash !== `#${id}`) history.replaceState(null, "", `#${id}`);
  $("room").textContent = id;
  $("link").value = location.href;
  document.title = `${id} · Heliograph`;
  room?.close();
  crowd.clear();
  room = new Room(location.href, id, {
    token,
    metadata: { name },
    relayOnly: $("relay").checked,
    linksMax: LINKS_MAX,
  });
  room.on("connection", showStatus);
  room.on("peer", meet);
  room.on("left", part);
  room.on("refused", noteRefusal);
  showStatus(room.connection);
}

function meet(peer) {
  const person = new Person(peer, { hue: freeHue(), now: performance.now() });
  crowd.set(peer, person);
  peer.on("state", () => follow(person));
  peer.on("unseated", () => setTimeout(() => noteLostSeat(person), RETURN_MS));
  for (const news of ["away", "unseated", "rejoined", "metadata"]) peer.on(news, showPeople);
  peer.reliable.on("message", (data) => hear(person, data));
  peer.lossy.on("message", (data) => look(person, data));
  showPeople();
}

function part({ peer, reason }) {
  const person = crowd.get(peer);
  crowd.delete(peer);
  showPeople();
  // Once we are in no room ourselves, nobody has left it.
  if (!person.greeted || room.connection.name === "ended") return;
  chat.note(reason === "left" ? `${person.name} left.` : `${person.name} is gone.`);
}

function follow(person) {
  const { greeted } = person;
  person.update(performance.now());
  if (person.greeted && !greeted) chat.note(`${person.name} is here.`);
  showPeople();
}

/** Whoever has lost the server is mostly back at once; only a longer absence is worth a line. */
function noteLostSeat({ peer, name }) {
  if (peer.hasSeat || !crowd.has(peer)) return;
  chat.note(`${name} has lost the server. Your link to ${name} is still open.`);
}

function noteRefusal({ text }) {
  chat.note(`The server refused a request: ${text}`);
}

function hear(person, data) {
  const text = readChat(data);
  if (!text) return;
  chat.say(person.name, text, hueClass(person));
  if (!stillness.matches) person.light.flash(performance.now(), flashes(text));
}

function look({ light, path }, data) {
  const motion = readMotion(data);
  if (motion) light.push(performance.now(), motion, path?.rttMs ?? 0);
}

function freeHue() {
  const taken = new Set([...crowd.values()].map(({ hue }) => hue));
  let hue = 0;
  while (taken.has(hue)) hue += 1;
  return hue;
}

function showPeople() {
  const { name } = room.connection;
  people.show([...crowd.values()], { online: name === "online" });
  $("lonely").hidden = crowd.size > 0 || name === "ended";
}

let ticking = null;

function showStatus(connection) {
  clearInterval(ticking);
  const open = [...crowd.values()].filter(({ linked }) => linked).length;
  $("status").dataset.state = connection.name;
  $("status-text").textContent = statusText(connection, open);
  $("retry").hidden = connection.name !== "waiting";
  $("countdown").textContent = "";
  if (connection.name === "waiting") {
    const until = performance.now() + connection.inMs;
    const count = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      $("countdown").textContent = `Reconnecting in ${seconds} s.`;
    };
    count();
    ticking = setInterval(count, 250);
  }
  showPeople();
}

async function measure() {
  for (const person of crowd.values()) {
    const { path } = await person.peer.stats().catch(() => ({ path: null }));
    person.path = path;
    people.measure(person, performance.now());
  }
  const waitedMs = [...crowd.values()].reduce((sum, { light }) => sum + light.twin.stalledMs, 0);
  $("waited").textContent = waitedMs > 0 ? `(${(waitedMs / 1000).toFixed(1)} s so far)` : "";
  setTimeout(measure, MEASURE_MS);
}

/** Asks about the one who has been without a link and an answer for longest. */
async function diagnose() {
  const now = performance.now();
  const puzzles = [...crowd.values()].filter((person) => person.isPuzzling(now));
  const [person] = puzzles.sort((one, other) => one.askedAt - other.askedAt);
  if (person) {
    person.askedAt = now;
    const diagnosis = await person.peer.diagnosis().catch(() => person.diagnosis);
    if (!person.linked) person.diagnosis = diagnosis;
    showPeople();
  }
  setTimeout(diagnose, ASK_MS);
}

function tick() {
  const now = performance.now();
  const position = { ...mover.step(now, Math.min(100, now - me.sentAt)) };
  me.sentAt = now;
  const motion = { ...position, n: me.number, t: now };
  me.number += 1;
  me.light.push(now, motion, 0);
  const text = writeMotion(motion);
  const dropShare = Number($("drop").value) / 100;
  for (const { peer, linked } of crowd.values())
    if (linked && Math.random() >= dropShare) peer.lossy.send(text);
}

function scene() {
  const style = colors();
  const others = [...crowd.values()].map((person) => ({
    light: person.light,
    color: style[hueClass(person)],
    name: person.name,
    path: person.linked ? person.path?.kind : null,
  }));
  return {
    me: { light: me.light, color: style["hue-me"], name: "you" },
    others,
    showTwin: $("twin").checked,
  };
}

let palette = null;

function colors() {
  if (palette) return palette;
  const style = getComputedStyle(document.documentElement);
  const names = ["hue-me", ...Array.from({ length: 8 }, (_, i) => `hue-${i}`)];
  palette = Object.fromEntries(
    names.map((each) => [each, style.getPropertyValue(`--${each}`).trim()]),
  );
  return palette;
}

/** A token isn't left in the address, which is sent to others, but a reload doesn't forget it. */
function takeToken() {
  const token = tokenFromHash(location.hash);
  try {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    return token || sessionStorage.getItem(TOKEN_KEY) || undefined;
  } catch {
    return token || undefined;
  }
}

function recall(key) {
  try {
    return cleanText(localStorage.getItem(key), NAME_LENGTH_MAX);
  } catch {
    return ""; // Storage may be forbidden.
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The name is then good for this visit.
  }
}

/** Copies the link; where the browser doesn't let us (plain http), it shows it, selected. */
async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    confirmCopy();
  } catch {
    $("link").hidden = false;
    $("link").select();
    if (document.execCommand("copy")) confirmCopy();
  }
}

function confirmCopy() {
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy link"), 2000);
}

async function rename() {
  const chosen = cleanText($("name").value, NAME_LENGTH_MAX);
  $("name").value = chosen || name;
  if (!chosen || chosen === name) return;
  name = chosen;
  remember(NAME_KEY, name);
  try {
    await room.setMetadata({ name });
  } catch (error) {
    // A lost seat is followed by one under the new name.
    if (!["lost", "ended"].includes(error.code)) noteRefusal(error);
  }
}

function say() {
  const text = cleanText($("say").value, CHAT_LENGTH_MAX);
  if (!text) return;
  chat.say("You", text, "hue-me");
  if (!stillness.matches) me.light.flash(performance.now(), flashes(text));
  tell(writeChat(text));
  $("say").value = "";
}

/** Sends a chat message to everybody with whom there is, or was, a link. */
function tell(message) {
  const known = [...crowd.values()].filter(({ greeted }) => greeted);
  if (!known.some(({ linked }) => linked)) chat.note("Nobody is connected to read this yet.");
  for (const { peer, name } of known) {
    try {
      peer.reliable.send(message); // Where the link is being mended, it waits.
    } catch {
      chat.note(`This doesn't reach ${name}: too much waits to be sent.`);
    }
  }
}

function listen() {
  const submit = (form, action) => {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      action();
    });
  };
  submit($("say-form"), say);
  submit($("me"), () => $("name").blur());
  $("name").addEventListener("change", rename);
  $("copy").addEventListener("click", copyLink);
  $("share").hidden = !navigator.share;
  $("share").addEventListener("click", () => {
    // It rejects when somebody changes their mind.
    navigator.share({ title: document.title, url: location.href }).catch(() => {});
  });
  $("fresh").addEventListener("click", () => (location.hash = randomRoom()));
  $("retry").addEventListener("click", () => room.retryNow());
  $("relay").addEventListener("change", () => room.setRelayOnly($("relay").checked));
  $("drop").addEventListener("input", () => ($("drop-value").textContent = `${$("drop").value} %`));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (palette = null));
  addEventListener("hashchange", enter);
}

$("name").value = name;
listen();
enter();
tick();
new Field($("canvas"), scene);
new Worker("ticker.js").onmessage = tick;
measure();
diagnose();
