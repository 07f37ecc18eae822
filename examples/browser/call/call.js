// A call: everybody in the room sees and hears everybody else. The room is in the link.

import { join } from "/heliograph.js";

const PATH_MS = 1000;
const STATES = {
  connecting: "connecting",
  interrupted: "interrupted",
  failed: "no path so far",
  closed: "gone",
  unlinked: "too many for this device",
};

const $ = (id) => document.getElementById(id);
const name = `Guest ${100 + Math.floor(Math.random() * 900)}`;
if (!location.hash) location.hash = crypto.getRandomValues(new Uint32Array(2)).join("-");

let room = null;
let own = null;

async function enter() {
  $("join").disabled = true;
  try {
    own = await capture();
    const tile = addTile("You", own);
    tile.classList.add("own");
    tile.querySelector("video").muted = true; // Nobody wants to hear themselves.
    room = await join(location.origin, location.hash.slice(1), { metadata: metadata() });
  } catch (error) {
    hangUp();
    return say(error.message);
  }
  room.on("peer", meet);
  room.on("connection", ({ name }) => {
    if (name === "waiting") say("The server is away; the call goes on.");
    else if (name === "online") showCount();
  });
  room.on("left", showCount);
  room.on("ended", (error) => {
    hangUp();
    if (error) say(error.message);
  });
  showActs(true);
  showCount();
}

/** Camera and microphone, or what there is of them. */
async function capture() {
  const { mediaDevices } = navigator;
  if (!mediaDevices) throw new Error("Browsers give a page its camera only over HTTPS.");
  const video = { width: { ideal: 640 }, height: { ideal: 480 } };
  try {
    return await mediaDevices.getUserMedia({ audio: true, video });
  } catch {
    return mediaDevices.getUserMedia({ audio: true });
  }
}

/** Somebody is there: sends what is captured here, and shows what comes. */
function meet(peer) {
  const tile = addTile(peer.metadata.name, null);
  tile.dataset.peer = peer.id;
  for (const track of own.getTracks()) peer.addTrack(track, own);
  peer.on("track", ({ streams }) => (tile.querySelector("video").srcObject = streams[0]));
  peer.on("metadata", (told) => showMutes(tile, told));
  showMutes(tile, peer.metadata);
  const measuring = setInterval(() => showPath(tile, peer), PATH_MS);
  peer.on("left", () => {
    clearInterval(measuring);
    tile.remove();
  });
  showPath(tile, peer);
  showCount();
}

async function showPath(tile, peer) {
  const { path } = await peer.stats();
  tile.dataset.state = peer.state;
  tile.dataset.path = path?.kind ?? "";
  const rtt = path?.rttMs ? `, ${Math.round(path.rttMs)} ms` : "";
  const how = STATES[peer.state] ?? (path ? `${path.kind}${rtt}` : "");
  tile.querySelector("p").textContent = [peer.metadata.name, how].filter(Boolean).join(" · ");
}

function showMutes(tile, { muted, dark }) {
  tile.dataset.silent = muted === true;
  tile.dataset.dark = dark === true;
}

function addTile(text, stream) {
  const tile = $("tile").content.firstElementChild.cloneNode(true);
  tile.querySelector("p").textContent = text;
  tile.querySelector("video").srcObject = stream;
  $("tiles").append(tile);
  return tile;
}

/** What the others are told: who this is, and why there may be nothing to hear or see. */
function metadata() {
  const off = (tracks) => tracks.every(({ enabled }) => !enabled);
  return { name, muted: off(own.getAudioTracks()), dark: off(own.getVideoTracks()) };
}

function toggle(button, tracks) {
  const isOff = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", isOff);
  for (const track of tracks) track.enabled = !isOff;
  showMutes(document.querySelector(".own"), metadata());
  room.setMetadata(metadata()).catch(({ message }) => room && say(message));
}

function hangUp() {
  const left = room;
  room = null; // What closing it ends is nothing to tell of.
  left?.close();
  for (const track of own?.getTracks() ?? []) track.stop();
  own = null;
  $("tiles").replaceChildren();
  showActs(false);
  say("You have left the call.");
}

function showActs(isIn) {
  for (const id of ["mute", "camera", "hang-up"]) $(id).hidden = !isIn;
  for (const id of ["mute", "camera"]) $(id).setAttribute("aria-pressed", "false");
  $("join").hidden = isIn;
  $("join").disabled = false;
}

function showCount() {
  const others = room?.peers.size ?? 0;
  if (others === 0) say("Nobody else is here yet: send them the address of this page.");
  else say(others === 1 ? "One other is here." : `${others} others are here.`);
}

function say(text) {
  $("status").textContent = text;
}

$("join").addEventListener("click", enter);
$("mute").addEventListener("click", () => toggle($("mute"), own.getAudioTracks()));
$("camera").addEventListener("click", () => toggle($("camera"), own.getVideoTracks()));
$("hang-up").addEventListener("click", hangUp);
