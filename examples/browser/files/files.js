// Files to everybody in the room, each at the speed of its own line.
//
// Each file goes to each receiver over a channel of its own: the sender offers it, and when it is
// accepted sends it in chunks, no faster than they drain. Both sides hash what they send and get.
//
//     sender    {"name":…,"type":…,"bytes":…}      chunks …      {"sha256":…}
//     receiver                        {"accepted":true}                       {"whole":true}

import { join } from "/heliograph.js";

const LABEL = "file ";
const CHUNK_BYTES = 64 * 1024;

/** So much may wait to be sent; then the sender does. */
const BUFFERED_MAX = 1024 * 1024;

/** A browser keeps what comes until it is saved: more than this it is not asked to. */
const FILE_BYTES_MAX = 2 * 1024 * 1024 * 1024;

const $ = (id) => document.getElementById(id);
if (!location.hash) location.hash = crypto.getRandomValues(new Uint32Array(2)).join("-");

let room = null;

async function enter() {
  if (!crypto.subtle) throw new Error("Browsers hash files only for pages that come over HTTPS.");
  const name = `Guest ${100 + Math.floor(Math.random() * 900)}`;
  room = await join(location.origin, location.hash.slice(1), { metadata: { name } });
  room.on("peer", (peer) => {
    peer.on("channel", (channel) => {
      if (channel.label.startsWith(LABEL)) receive(peer, channel).catch(() => {}); // It is shown.
    });
    peer.on("state", showCount);
    showCount();
  });
  room.on("left", showCount);
  room.on("ended", (error) => error && say(error.message));
  showCount();
}

/** Offers a file to everybody who is there. */
function offer(file) {
  const peers = [...room.peers.values()].filter(({ state }) => state === "connected");
  if (peers.length === 0) return say("Nobody is connected who could get it.");
  for (const peer of peers) send(peer, file).catch(() => {}); // It is shown.
}

async function send(peer, file) {
  const card = new Card(`${file.name} to ${peer.metadata.name}`, file.size);
  const label = `${LABEL}${crypto.randomUUID()}`;
  const channel = peer.channel(label, { bufferedMax: BUFFERED_MAX });
  const answers = new Inbox(channel);
  await card.watch(channel, async () => {
    channel.send(JSON.stringify({ name: file.name, type: file.type, bytes: file.size }));
    card.say("Waiting for them to accept it.");
    if (!(await answers.next()).accepted) return card.end("declined", "They don't want it.");
    const hash = new ChainHash();
    for (let at = 0; at < file.size; at += CHUNK_BYTES) {
      const chunk = await file.slice(at, at + CHUNK_BYTES).arrayBuffer();
      await hash.add(chunk);
      if (channel.bufferedAmount + chunk.byteLength > BUFFERED_MAX) await channel.drained();
      channel.send(chunk);
      card.progress(Math.max(0, at + chunk.byteLength - channel.bufferedAmount));
    }
    // It is no larger than a chunk, but there must be room for it.
    await channel.drained();
    channel.send(JSON.stringify({ sha256: hash.text }));
    const { whole } = await answers.next();
    card.progress(file.size);
    if (whole) card.end("whole", "It has arrived whole.");
    else card.end("broken", "It has arrived broken: send it again.");
    channel.close();
  });
}

async function receive(peer, channel) {
  const inbox = new Inbox(channel);
  const { name, type, bytes } = await inbox.next();
  const card = new Card(`${String(name).slice(0, 200)} from ${peer.metadata.name}`, bytes);
  await card.watch(channel, async () => {
    const isFair = Number.isSafeInteger(bytes) && bytes >= 0 && bytes <= FILE_BYTES_MAX;
    const accepted = isFair && (await card.ask());
    channel.send(JSON.stringify({ accepted }));
    if (!accepted) return card.end("declined", "You didn't take it.");
    const hash = new ChainHash();
    const chunks = [];
    for (let came = 0; came < bytes;) {
      const chunk = await inbox.next();
      came += chunk.byteLength;
      if (!(chunk instanceof Uint8Array) || came > bytes) throw new Error("They sent nonsense.");
      await hash.add(chunk);
      chunks.push(new Blob([chunk])); // A browser may keep blobs on its disk.
      card.progress(came);
    }
    const { sha256 } = await inbox.next();
    const whole = sha256 === hash.text;
    channel.send(JSON.stringify({ whole }));
    if (!whole) return card.end("broken", "It has arrived broken: ask for it again.");
    card.end("whole", "It has arrived whole.");
    card.offer(String(name), new Blob(chunks, { type: String(type) }));
  });
}

/** What comes on a channel, in order; text is JSON. Ends with an error when the channel does. */
class Inbox {
  #items = [];
  #waiting = null;
  #isClosed = false;

  constructor(channel) {
    channel.on("message", (data) => {
      this.#items.push(data);
      this.#waiting?.();
    });
    channel.on("close", () => {
      this.#isClosed = true;
      this.#waiting?.();
    });
  }

  async next() {
    while (this.#items.length === 0) {
      if (this.#isClosed) throw new Error("The line broke: send it again.");
      await new Promise((resume) => (this.#waiting = resume));
    }
    const item = this.#items.shift();
    return typeof item === "string" ? JSON.parse(item) : item;
  }
}

/** SHA-256 over all chunks without holding them: of the last hash and the next chunk each time. */
class ChainHash {
  #hash = new Uint8Array(32);

  async add(chunk) {
    const both = await new Blob([this.#hash, chunk]).arrayBuffer();
    this.#hash = new Uint8Array(await crypto.subtle.digest("SHA-256", both));
  }

  get text() {
    return Array.from(this.#hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

/** What is seen of one transfer. */
class Card {
  constructor(title, bytes) {
    const card = $("transfer").content.firstElementChild.cloneNode(true);
    this.bytes = bytes;
    this.parts = Object.fromEntries(
      ["b", "span", "progress", ".state", ".acts"].map((part) => [part, card.querySelector(part)]),
    );
    this.card = card;
    this.parts.b.textContent = title;
    this.parts.span.textContent = readable(bytes);
    $("transfers").prepend(card);
  }

  /** Runs a transfer, and tells what becomes of it. */
  async watch(channel, run) {
    try {
      await run();
    } catch (error) {
      this.end("failed", error.message);
      channel.close();
    }
  }

  /** Whether whoever looks wants it. */
  ask() {
    this.say("Do you want it?");
    const { ".acts": acts } = this.parts;
    acts.hidden = false;
    return new Promise((answer) => {
      const button = (text, value, look) => {
        const made = document.createElement("button");
        Object.assign(made, { textContent: text, type: "button", className: look });
        made.addEventListener("click", () => {
          acts.hidden = true;
          acts.replaceChildren();
          answer(value);
        });
        return made;
      };
      acts.append(button("Accept", true, "accept"), button("Decline", false, "quiet"));
    });
  }

  progress(bytes) {
    this.began ??= performance.now();
    const seconds = (performance.now() - this.began) / 1000;
    const rate = seconds > 0.5 ? `, ${readable(bytes / seconds)}/s` : "";
    this.parts.progress.value = this.bytes === 0 ? 1 : bytes / this.bytes;
    this.say(`${readable(bytes)}${rate}`);
  }

  end(state, text) {
    this.card.dataset.state = state;
    this.parts[".acts"].hidden = true;
    this.say(text);
  }

  /** A link by which it can be saved. */
  offer(name, blob) {
    const link = document.createElement("a");
    Object.assign(link, { className: "button", href: URL.createObjectURL(blob), download: name });
    link.textContent = "Save";
    this.parts[".acts"].replaceChildren(link);
    this.parts[".acts"].hidden = false;
  }

  say(text) {
    this.parts[".state"].textContent = text;
  }
}

function readable(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${(bytes / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}

function showCount() {
  const count = [...room.peers.values()].filter(({ state }) => state === "connected").length;
  if (count === 0) say("Nobody else is here yet: send them the address of this page.");
  else say(count === 1 ? "One other is here." : `${count} others are here.`);
}

function say(text) {
  $("status").textContent = text;
}

$("file").addEventListener("change", () => {
  for (const file of $("file").files) offer(file);
  $("file").value = "";
});
for (const type of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop") for (const file of event.dataTransfer.files) offer(file);
  });
}
enter().catch((error) => say(error.message));
