// The rooms, and who is in the chosen one.

import { ask } from "./api.js";
import { PATHS } from "./board.js";
import { ago, size } from "./format.js";

/** How many rooms one more page has. */
const PAGE = 100;
/** The most that one answer has. */
const PAGE_MAX = 1000;

const byId = (id) => document.getElementById(id);

export class Rooms {
  /** `confirm` asks before something is done that can't be undone. */
  constructor(confirm) {
    this.confirm = confirm;
    this.shown = PAGE;
    this.chosen = null;
    byId("more").addEventListener("click", () => {
      this.shown = Math.min(PAGE_MAX, this.shown + PAGE);
      this.refresh();
    });
    byId("close-room").addEventListener("click", () => this.#close());
  }

  /** Asks anew for all that is shown. */
  async refresh() {
    await Promise.all([this.#list(), this.#members()]);
  }

  async #list() {
    const page = await ask("GET", `v1/rooms?limit=${this.shown}`);
    if (!page) return;
    const rows = new Map([...byId("rooms").children].map((row) => [row.dataset.room, row]));
    const shown = page.rooms.map((room) => {
      return this.#fill(rows.get(room.room) ?? this.#row(room), room);
    });
    // Moved only if need be: a row that is moved loses its focus, and a click on the way.
    if (shown.length !== rows.size || shown.some((row, i) => byId("rooms").children[i] !== row)) {
      byId("rooms").replaceChildren(...shown);
    }
    byId("rooms-count").textContent = page.after ? `first ${page.rooms.length}` : page.rooms.length;
    byId("rooms-empty").hidden = page.rooms.length > 0;
    byId("more").hidden = !page.after || this.shown >= PAGE_MAX;
  }

  #row({ room }) {
    const row = document.createElement("tr");
    row.dataset.room = room;
    const choose = document.createElement("button");
    choose.type = "button";
    choose.textContent = room;
    choose.addEventListener("click", () => this.#choose(room));
    const name = document.createElement("td");
    name.append(choose);
    row.append(name, number(), number());
    return row;
  }

  #fill(row, { room, members, since }) {
    const [, count, age] = row.cells;
    count.textContent = members;
    age.textContent = ago(since);
    row.setAttribute("aria-selected", String(room === this.chosen));
    return row;
  }

  #choose(room) {
    this.chosen = room;
    for (const row of byId("rooms").children) {
      row.setAttribute("aria-selected", String(row.dataset.room === room));
    }
    byId("members").replaceChildren();
    this.#members();
  }

  async #members() {
    const name = this.chosen;
    if (!name) return;
    const at = encodeURIComponent(name);
    const [room, relayed] = await Promise.all([
      ask("GET", `v1/rooms/${at}`),
      ask("GET", `v1/allocations?limit=${PAGE_MAX}&room=${at}`),
    ]);
    if (name !== this.chosen) return; // Another one was chosen meanwhile.
    this.#title(name);
    byId("close-room").hidden = !room;
    byId("room-empty").hidden = Boolean(room);
    byId("room-empty").textContent = "Nobody is in this room any more.";
    const allocations = relayed?.allocations ?? [];
    const items = new Map([...byId("members").children].map((item) => [item.dataset.peer, item]));
    const members = (room?.members ?? []).map((member) => {
      const its = allocations.filter(({ seat }) => seat === member.seat);
      const item = items.get(member.peer) ?? this.#item(name, member.peer);
      return this.#show(item, { ...member, paths: paths(room.pairs, member.peer) }, its);
    });
    if (members.length !== items.size || members.some((item) => !item.parentNode)) {
      byId("members").replaceChildren(...members);
    }
  }

  #title(name) {
    const code = document.createElement("code");
    code.textContent = name;
    byId("room-title").replaceChildren("Room ", code);
  }

  #item(room, peer) {
    const item = byId("member").content.cloneNode(true).firstElementChild;
    item.dataset.peer = peer;
    item.querySelector(".peer").textContent = peer;
    item.querySelector(".kick").addEventListener("click", () => this.#kick(room, peer));
    item.querySelector(".kick").setAttribute("aria-label", `Kick ${peer}`);
    return item;
  }

  #show(item, member, allocations) {
    item.dataset.away = String(member.away);
    const waits = member.unacked_frames;
    const state = member.away ? "away" : "here";
    const who = [member.host && "host", member.role !== "host" && member.role, state];
    const words = who.filter(Boolean).join(", ");
    item.querySelector(".state").textContent = `${words}, joined ${ago(member.since)} ago`;
    const facts = [];
    if (member.paths) facts.push(member.paths);
    if (waits > 0) facts.push(`${waits} unacknowledged (${size(member.unacked_bytes)})`);
    if (allocations.length > 0) facts.push(carried(allocations));
    item.querySelector(".facts").textContent = facts.join(" · ");
    return item;
  }

  async #kick(room, peer) {
    const path = `v1/rooms/${encodeURIComponent(room)}/members/${encodeURIComponent(peer)}`;
    await this.confirm({
      title: "Kick this peer?",
      text:
        `${peer} loses its seat in ${room}, and what the relay carries for it. ` +
        "It may join again.",
      yes: "Kick",
      act: () => ask("DELETE", path),
    });
    await this.refresh();
  }

  async #close() {
    const room = this.chosen;
    await this.confirm({
      title: "Close this room?",
      text: `Everybody in ${room} loses their seat, and what the relay carries for them.`,
      yes: "Close room",
      act: () => ask("DELETE", `v1/rooms/${encodeURIComponent(room)}`),
    });
    await this.refresh();
  }
}

/** How a peer is connected with the others, as in "2 direct, 1 failed". */
function paths(pairs, peer) {
  const its = pairs.filter(({ peers }) => peers.includes(peer));
  const count = (wanted) => its.filter(({ path }) => path === wanted).length;
  const counts = PATHS.map((path) => [count(path), path]);
  return counts.flatMap(([many, path]) => (many > 0 ? [`${many} ${path}`] : [])).join(", ");
}

function carried(allocations) {
  const sum = (way) => allocations.reduce((bytes, it) => bytes + it[way].bytes, 0);
  const count = allocations.length === 1 ? "1 allocation" : `${allocations.length} allocations`;
  return `${count}: ${size(sum("from_client"))} in, ${size(sum("to_client"))} out`;
}

function number() {
  const cell = document.createElement("td");
  cell.className = "number";
  return cell;
}
