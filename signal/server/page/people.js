// The list of people: who is here, how the pair is connected, and what to try if it isn't.

import { LINKS_MAX } from "./room.js";
import { drawSparkline } from "./sparkline.js";

const HUES = 8;

/** The class that gives a member its color. */
export function hueClass({ hue }) {
  return `hue-${hue % HUES}`;
}

/**
 * Keeps the list in step with the members.
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

  /** Shows these members. `context` has `online` and `relayOnly`, for the advice. */
  show(members, context) {
    const linked = members.filter(({ link }) => link);
    for (const [member, row] of this.rows) {
      if (linked.includes(member)) continue;
      row.item.remove();
      this.rows.delete(member);
    }
    for (const member of linked) this.#describe(this.#row(member), member, context);
    this.count.textContent = members.length + 1;
    const unlinked = members.length - linked.length;
    this.more.hidden = unlinked === 0;
    this.more.textContent = `And ${unlinked} more: this page links to ${LINKS_MAX} at most.`;
  }

  /** Shows the figures of one member: its path, or `null`, and its light. */
  measure(member, measured, light, now) {
    const row = this.rows.get(member);
    if (!row) return;
    const connected = member.link.state === "connected";
    const path = connected ? measured : null;
    const { loss, arrivals } = light;
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

  #row(member) {
    const known = this.rows.get(member);
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
    item.classList.add(hueClass(member));
    row.again.addEventListener("click", () => member.link.restart());
    this.list.append(item);
    this.rows.set(member, row);
    return row;
  }

  #describe(row, member, context) {
    const { link } = member;
    row.item.dataset.peer = member.seat ?? "";
    row.item.dataset.state = link.state;
    row.item.dataset.away = member.away;
    set(row.name, member.name);
    if (link.state !== "connected") row.item.dataset.path = "";
    set(row.badge, PATHS[row.item.dataset.path] ?? STATES[link.state]);
    const trouble = advice(member, context);
    row.trouble.hidden = !trouble;
    set(row.trouble, trouble);
    row.again.hidden = link.state !== "failed" || !context.online;
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
export function advice({ seat, away, link }, { online, relayOnly }) {
  const lost = online && (away || !seat);
  if (lost && link.state !== "connected" && link.state !== "closed")
    return "Has lost the server. It may be back in a moment.";
  switch (link.state) {
    case "connected":
      return lost ? "Has lost the server; the link between you two is still open." : "";
    case "interrupted":
      return "Nothing gets through at the moment. It often comes back by itself within seconds.";
    case "closed":
      return "The other side closed this link.";
    case "connecting":
      return link.silent
        ? "No answer from the other side so far. It may be asleep: ask them to look at their page."
        : "";
    case "failed":
      return failure(link, relayOnly);
    default:
      return "";
  }
}

function failure({ iceErrors, heard, iceServers }, relayOnly) {
  if (!heard) return "The other side never answered. Ask them to reload the page.";
  const refused = iceErrors.find(({ errorCode }) => errorCode < 700);
  if (refused) {
    const { errorCode, errorText } = refused;
    return `The relay refused us (${errorCode} ${errorText}). Reload the page to try again.`;
  }
  const hasRelay = iceServers.some(({ urls }) =>
    [urls].flat().some((url) => url.startsWith("turn")),
  );
  if (!hasRelay && relayOnly)
    return "This server offers no relay, so “Relay only” can't work: switch it off.";
  if (!hasRelay)
    return "No direct path, and this server offers no relay. Try from the same network.";
  const unreached = iceErrors.some(
    ({ errorCode, url }) => errorCode >= 700 && url?.startsWith("turn"),
  );
  if (unreached)
    return "The relay doesn't answer. This network may block UDP: try another, such as a phone's.";
  return "No path was found, direct or relayed. Try another network, or ask the server's operator.";
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
