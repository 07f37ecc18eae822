// What goes on, in numbers: tiles with small pictures, and lists of what was dropped and refused.

import { bitrate, short } from "./format.js";
import { Sparkline } from "./sparkline.js";

const rate = (number) => `${short(number)}/s`;

/** Name, what of an event it shows, how it is written. Halves that don't run have none. */
const TILES = [
  ["Rooms", ({ signal }) => signal?.rooms, short],
  ["Members", ({ signal }) => signal?.members, short],
  ["Connections", ({ signal }) => signal?.connections, short],
  ["Joins", ({ signal }) => signal?.joins_per_s, rate],
  ["Signals", ({ signal }) => signal?.signals_per_s, rate],
  ["Allocations", ({ relay }) => relay?.allocations, short],
  ["Relay in", ({ relay }) => relay?.from_clients.bytes_per_s, bitrate],
  ["Relay out", ({ relay }) => relay?.to_clients.bytes_per_s, bitrate],
  ["Relay inside", ({ relay }) => relay?.inside.bytes_per_s, bitrate],
  ["Packets", ({ relay }) => relay && packets(relay), rate],
];

/** How pairs are connected, the best first. */
export const PATHS = ["direct", "relayed", "connecting", "interrupted", "failed"];

function packets({ from_clients, to_clients, inside }) {
  const paths = [from_clients, to_clients, inside];
  return paths.reduce((sum, { packets_per_s }) => sum + packets_per_s, 0);
}

const byId = (id) => document.getElementById(id);

export class Board {
  constructor() {
    this.tiles = new Map();
  }

  /** Shows an event of the stream. */
  show(event) {
    for (const [name, of, write] of TILES) {
      const value = of(event);
      if (value === undefined || value === null) continue;
      const tile = this.tiles.get(name) ?? this.#add(name);
      tile.value.textContent = write(value);
      tile.spark.push(value);
    }
    for (const part of ["pairs-part", "rooms-part", "room-part", "refusals-part"]) {
      byId(part).hidden = !event.signal;
    }
    for (const part of ["drops-part", "errors-part"]) byId(part).hidden = !event.relay;
    if (event.signal) showPairs(event.signal.pairs);
    showTallies(byId("drops"), event.relay?.drops ?? []);
    showTallies(byId("errors"), event.relay?.errors ?? []);
    showTallies(byId("refusals"), event.signal?.refusals ?? []);
  }

  #add(name) {
    const made = byId("tile").content.cloneNode(true);
    made.querySelector("h3").textContent = name;
    const [value, canvas] = [made.querySelector(".value"), made.querySelector("canvas")];
    value.dataset.tile = name;
    byId("tiles").append(made);
    const tile = { value, spark: new Sparkline(canvas) };
    this.tiles.set(name, tile);
    return tile;
  }
}

/** A bar of all pairs, and below it how many are connected how. */
function showPairs(pairs) {
  const all = PATHS.reduce((sum, path) => sum + pairs[path], 0);
  byId("pairs-count").textContent = short(all);
  const parts = PATHS.map((path) => {
    const part = document.createElement("span");
    part.dataset.path = path;
    part.style.flexGrow = pairs[path];
    return part;
  });
  byId("pairs-bar").replaceChildren(...parts);
  const entries = PATHS.map((path) => {
    const entry = document.createElement("div");
    entry.dataset.path = path;
    const share = all > 0 ? `${Math.round((pairs[path] / all) * 100)} %` : "";
    entry.append(cell("dt", path), cell("dd", short(pairs[path])), cell("dd", share));
    return entry;
  });
  byId("pairs").replaceChildren(...entries);
}

function showTallies(list, tallies) {
  const most = tallies.toSorted((one, two) => two.total - one.total);
  const rows = most.map(({ what, total, per_s }) => {
    const row = document.createElement("div");
    const now = per_s > 0 ? rate(per_s) : "";
    row.append(cell("dt", what), cell("dd", now), cell("dd", short(total)));
    row.children[1].className = "now";
    return row;
  });
  if (rows.length === 0) {
    rows.push(cell("dd", "None so far."));
    rows[0].className = "empty";
  }
  list.replaceChildren(...rows);
}

function cell(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}
