// The page: a room from the link, and what is on the screen.

import { ChatLog } from "./chat.js";
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
import { People, hueClass } from "./people.js";
import { Field, Mover } from "./playground.js";
import { Room } from "./room.js";
import { statusText } from "./status.js";

const MEASURE_MS = 500;
const RETURN_MS = 3000;
const NAME_KEY = "heliograph.name";
const TOKEN_KEY = "heliograph.token";
const NOBODYS_FAULT = ["no_such_peer", "undelivered"];

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
const lights = new WeakMap();
const paths = new WeakMap();
let room = null;
let name = recall(NAME_KEY) || randomPerson();

function join() {
  const token = takeToken();
  let id = roomFromHash(location.hash);
  if (!id) id = randomRoom();
  if (location.hash !== `#${id}`) history.replaceState(null, "", `#${id}`);
  $("room").textContent = id;
  $("link").value = location.href;
  document.title = `${id} · Heliograph`;
  room?.close();
  room = new Room({
    url: socketUrl(),
    room: id,
    token,
    name,
    relayOnly: $("relay").checked,
  });
  const current = (handler) => {
    const mine = room;
    return ({ detail }) => mine === room && handler(detail);
  };
  room.addEventListener("state", current(showStatus));
  room.addEventListener("members", current(showMembers));
  room.addEventListener(
    "refused",
    current(({ code, text }) => {
      if (NOBODYS_FAULT.includes(code)) return; // Somebody left meanwhile.
      chat.note(`The server refused a request: ${text}`);
    }),
  );
  room.addEventListener(
    "arrived",
    current(({ member }) => chat.note(`${member.name} is here.`)),
  );
  room.addEventListener(
    "departed",
    current(({ member, reason, kept }) => {
      if (kept) setTimeout(() => noteLostSeat(member), RETURN_MS);
      else if (member.greeted)
        chat.note(reason === "left" ? `${member.name} left.` : `${member.name} is gone.`);
    }),
  );
  room.addEventListener(
    "chat",
    current(({ member, text }) => said(member, text)),
  );
  room.addEventListener(
    "motion",
    current(({ member, motion }) => {
      lightOf(member).push(performance.now(), motion, paths.get(member)?.rttMs ?? 0);
    }),
  );
  room.start();
  showMembers();
}

/** Whoever has lost the server is mostly back at once; only a longer absence is worth a line. */
function noteLostSeat(member) {
  if (member.seat || !room.members.has(member)) return;
  chat.note(`${member.name} has lost the server. Your link to ${member.name} is still open.`);
}

function said(member, text) {
  chat.say(member.name, text, hueClass(member));
  if (!stillness.matches) lightOf(member).flash(performance.now(), flashes(text));
}

function lightOf(member) {
  if (!lights.has(member)) lights.set(member, new Light());
  return lights.get(member);
}

function showMembers() {
  const members = room.shown;
  people.show(members, { online: room.session.state.name === "online", relayOnly: room.relayOnly });
  $("lonely").hidden = members.length > 0;
}

let ticking = null;

function showStatus(state) {
  clearInterval(ticking);
  const open = room.shown.filter(({ link }) => link?.state === "connected").length;
  $("status").dataset.state = state.name;
  $("status-text").textContent = statusText(state, open);
  $("retry").hidden = state.name !== "waiting";
  $("countdown").textContent = "";
  if (state.name === "waiting") {
    const until = performance.now() + state.inMs;
    const count = () => {
      const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
      $("countdown").textContent = `Reconnecting in ${seconds} s.`;
    };
    count();
    ticking = setInterval(count, 250);
  }
  showMembers();
}

async function measure() {
  for (const member of room.shown) {
    if (!member.link) continue;
    const path = await member.link.path().catch(() => null);
    paths.set(member, path);
    people.measure(member, path, lightOf(member), performance.now());
  }
  const waitedMs = room.shown.reduce((sum, member) => sum + lightOf(member).twin.stalledMs, 0);
  $("waited").textContent = waitedMs > 0 ? `(${(waitedMs / 1000).toFixed(1)} s so far)` : "";
  setTimeout(measure, MEASURE_MS);
}

function tick() {
  const now = performance.now();
  const position = { ...mover.step(now, Math.min(100, now - me.sentAt)) };
  me.sentAt = now;
  const motion = { ...position, n: me.number, t: now };
  me.number += 1;
  me.light.push(now, motion, 0);
  room.move(motion, Number($("drop").value) / 100);
}

function scene() {
  const style = colors();
  const others = room.shown.map((member) => ({
    light: lightOf(member),
    color: style[hueClass(member)],
    name: member.name,
    path: member.link?.state === "connected" ? paths.get(member)?.kind : null,
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

function socketUrl() {
  const url = new URL("v1/ws", location.href.split("#")[0]);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
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

function rename() {
  const chosen = cleanText($("name").value, NAME_LENGTH_MAX);
  $("name").value = chosen || name;
  if (!chosen || chosen === name) return;
  name = chosen;
  remember(NAME_KEY, name);
  room.rename(name);
}

function say() {
  const text = cleanText($("say").value, CHAT_LENGTH_MAX);
  if (!text) return;
  chat.say("You", text, "hue-me");
  if (!stillness.matches) me.light.flash(performance.now(), flashes(text));
  if (room.chat(text) === 0) chat.note("Nobody is connected to read this yet.");
  $("say").value = "";
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
  $("retry").addEventListener("click", () => room.session.retryNow());
  $("relay").addEventListener("change", () => room.setRelayOnly($("relay").checked));
  $("drop").addEventListener("input", () => ($("drop-value").textContent = `${$("drop").value} %`));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (palette = null));
  addEventListener("hashchange", join);
  addEventListener("pagehide", () => room.close());
  addEventListener("pageshow", (event) => event.persisted && join());
}

$("name").value = name;
listen();
join();
tick();
new Field($("canvas"), scene);
new Worker("ticker.js").onmessage = tick;
measure();
