// The list of people: who is here, how the pair is connected, and what to try if it isn't.

import { drawSparkline } from "./sparkline.js";

/**
 * Everybody sends to everybody: beyond this many, a mesh at 60 Hz costs more than a telephone can
 * give.
 */
export const LINKS_MAX = 24;

const HUES = 8;

/** The class that gives a person their color. */
export function hueClass({ hue }) {
  return `hue-${hue % HUES}`;
}

/**
 * Keeps the list in step with the people.
 *
 * What a reader sees also stands in attributes of each item: `data-peer`, `data-state`,
 * `data-away`, `data-path`, `data-local`, `data-remote`, `data-received`, `data-lost`. Tests and
 * scripts may rely on them.
 */
export class People {
  constructor({ list, template, count, more }) {
    this.list = list;
    this.template = template;
    this.count = count;
    this.more = more;
    this.rows = new Map();
  }

  /** Shows these `Person`s. `context` has `online`, for the advice. */
  show(people, context) {
    const linked = people.filter(({ peer }) => peer.state !== "unlinked");
    for (const [person, row] of this.rows) {
      if (linked.includes(person)) continue;
      row.item.remove();
      this.rows.delete(person);
    }
    for (const person of linked) this.#describe(this.#row(person), person, context);
    this.count.textContent = people.length + 1;
    const unlinked = people.length - linked.length;
    this.more.hidden = unlinked === 0;
    this.more.textContent = `And ${unlinked} more: this page links to ${LINKS_MAX} at most.`;
  }

  /** Shows the figures of one person. */
  measure(person, now) {
    const row = this.rows.get(person);
    if (!row) return;
    const path = person.linked ? person.path : null;
    const { loss, arrivals } = person.light;
    set(row.path, path ? pathText(path) : "–");
    row.path.title = path ? pathTitle(path) : "";
    set(row.rtt, milliseconds(path?.rttMs));
    set(row.loss, loss.share === null ? "–" : `${(loss.share * 100).toFixed(1)} %`);
    set(row.rate, `${Math.round(arrivals.rate(now))}/s`);
    const { dataset } = row.item;
    dataset.path = path?.kind ?? "";
    dataset.local = path?.local ?? "";
    dataset.remote = path?.remote ?? "";
    dataset.received = loss.received;
    dataset.lost = loss.lost;
    if (path) set(row.badge, PATHS[path.kind]);
    drawSparkline(row.spark, arrivals.read(now));
  }

  #row(person) {
    const known = this.rows.get(person);
    if (known) return known;
    const item = this.template.content.firstElementChild.cloneNode(true);
    const row = { item };
    for (const name of [
      "mark",
      "name",
      "badge",
      "trouble",
      "path",
      "rtt",
      "loss",
      "rate",
      "spark",
      "again",
    ]) {
      row[name] = item.querySelector(`.${name}`);
    }
    item.classList.add(hueClass(person));
    row.again.addEventListener("click", () => person.peer.restart());
    this.list.append(item);
    this.rows.set(person, row);
    return row;
  }

  #describe(row, person, context) {
    const { id, hasSeat, away, state } = person.peer;
    row.item.dataset.peer = hasSeat ? id : "";
    row.item.dataset.state = state;
    row.item.dataset.away = away;
    set(row.name, person.name);
    if (!person.linked) row.item.dataset.path = "";
    set(row.badge, PATHS[row.item.dataset.path] ?? STATES[state]);
    const trouble = advice(person, context);
    row.trouble.hidden = !trouble;
    set(row.trouble, trouble);
    row.again.hidden = state !== "failed" || !context.online;
  }
}

const PATHS = { direct: "Direct", relayed: "Relayed" };

const STATES = {
  connected: "Connected",
  connecting: "Connecting",
  interrupted: "Interrupted",
  failed: "No path",
  closed: "Closed",
};

/** What is wrong with a link in plain words, and what to try; empty if nothing is. */
export function advice({ peer, name, diagnosis }, { online }) {
  const { state } = peer;
  const lost = online && peer.away;
  if (lost && state !== "connected" && state !== "closed")
    return "Has lost the server. It may be back in a moment.";
  switch (state) {
    case "connected":
      return lost ? "Has lost the server; the link between you two is still open." : "";
    case "interrupted":
      return "Nothing gets through at the moment. It often comes back by itself within seconds.";
    case "closed":
      return "The other side closed this link.";
    case "connecting":
      return diagnosis ? told(diagnosis, name) : "";
    case "failed":
      return diagnosis ? told(diagnosis, name) : "No path was found so far.";
    default:
      return "";
  }
}

/** A diagnosis as sentences. One that begins with a name leaves the name as it is. */
function told({ text, advice }, name) {
  const what = text.startsWith(name) ? text : capital(text);
  return [what, capital(advice)].filter(Boolean).map(sentence).join(" ");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function pathText({ local, remote }) {
  return `${local} ↔ ${remote}`;
}

const CANDIDATES = {
  host: "its own address",
  srflx: "its address as a STUN server sees it",
  prflx: "an address the other side discovered",
  relay: "an address on the relay",
};

function pathTitle({ local, remote, protocol }) {
  const ends = `Here: ${CANDIDATES[local] ?? local}. There: ${CANDIDATES[remote] ?? remote}.`;
  return `${ends} Over ${protocol.toUpperCase()}.`;
}

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
