// A room: who has a seat in it, and a link to each of them.

import { NAME_LENGTH_MAX, cleanText } from "./names.js";
import { Peer } from "./peer.js";
import { Session } from "./signal.js";
import { readMotion, readReliable, writeMotion } from "./wire.js";

/**
 * Everybody sends to everybody: beyond this many, a mesh at 60 Hz costs more than a telephone can
 * give.
 */
export const LINKS_MAX = 24;

/** Reasons for which a seat ends although its peer may live on. */
const SEAT_LOST = ["lost", "vanished", "slow"];

/**
 * How many of our own former seats are remembered: one that is changed for another is held for a
 * moment longer.
 */
const FORMER_SEATS_MAX = 8;

/**
 * Somebody in the room. `seat` is the peer id, `null` once it has ended; `link` is a `Peer`, `null`
 * beyond the limit.
 */
export class Member {
  constructor({ seat, name, hue }) {
    this.seat = seat;
    this.name = name;
    this.hue = hue;
    this.link = null;
    /** Whether this member has no connection to the server at the moment. */
    this.away = false;
    /** Why the last seat ended, in the server's word. */
    this.leftReason = null;
    /** Whether a link to this member was open once. */
    this.greeted = false;
    /** The seat that this member said it moved to. */
    this.claim = null;
    /** The member under the new seat, while its link is being made. */
    this.successor = null;
    /** The member whose place this one takes once its link is open. Not to be shown until then. */
    this.predecessor = null;
  }
}

/**
 * Joins a room and keeps links to its members.
 *
 * A lost connection to the server is resumed, and no link notices. Where a seat was lost for good,
 * since the server was restarted or it took too long, the link lives on until one of the two closes
 * it. When we, or they, come back on a new seat, a new link is made beside the old one and replaces
 * it once it is open, so nothing is interrupted. Who comes back says so over the old link
 * (`{"seat": "new peer id"}`): only the peer itself can.
 *
 * Events, each a `CustomEvent` with these in `detail`:
 * - `state`: the session's; `refused`: an error frame of the server;
 * - `members`: somebody came, went or changed;
 * - `arrived` (`{ member }`): the link to a member is open for the first time;
 * - `departed` (`{ member, reason, kept }`): a seat has ended; `kept` says that the link is still
 *   open;
 * - `chat` (`{ member, text }`) and `motion` (`{ member, motion }`).
 */
export class Room extends EventTarget {
  constructor({ url, room, token, name, relayOnly }) {
    super();
    this.name = name;
    this.seatName = name;
    this.relayOnly = relayOnly;
    this.iceServers = [];
    this.certificate = null;
    this.formerSeats = [];
    this.members = new Set();
    this.seats = new Map();
    this.session = new Session(url, { room, token, metadata: { name } });
    this.session.addEventListener("state", ({ detail }) => this.#emit("state", detail));
    this.session.addEventListener("welcome", ({ detail }) => this.#welcome(detail));
    this.session.addEventListener("resync", ({ detail }) => this.#resync(detail));
    this.session.addEventListener("joined", ({ detail }) => this.#joined(detail));
    this.session.addEventListener("away", ({ detail }) => this.#away(detail.peer, true));
    this.session.addEventListener("back", ({ detail }) => this.#away(detail.peer, false));
    this.session.addEventListener("ice", ({ detail }) => this.#ice(detail.ice_servers));
    this.session.addEventListener("left", ({ detail }) => this.#left(detail));
    this.session.addEventListener("signal", ({ detail }) => this.#signal(detail));
    this.session.addEventListener("error", ({ detail }) => this.#emit("refused", detail));
  }

  /**
   * Takes a seat. All links show one certificate, by which programs know us again on a new seat;
   * without one each makes its own.
   */
  async start() {
    const kind = { name: "ECDSA", namedCurve: "P-256" };
    const made = RTCPeerConnection.generateCertificate?.(kind);
    this.certificate = (await made?.catch(() => null)) ?? null;
    if (!this.closed) this.session.start();
  }

  /** Leaves the room and closes every link. */
  close() {
    this.closed = true;
    this.session.close();
    for (const member of [...this.members]) this.#remove(member);
  }

  /** The members to show: one for each person, in the order of their arrival. */
  get shown() {
    return [...this.members].filter((member) => !member.predecessor);
  }

  /** Changes our name, here and for the others. */
  rename(name) {
    this.name = name;
    this.session.metadata = { name };
    this.#broadcast({ name });
  }

  /** Sends a chat message; returns how many it was sent to. */
  chat(text) {
    return this.#broadcast({ chat: text });
  }

  /** Sends a position to everybody, but loses a share of the packets on purpose. */
  move(motion, dropShare = 0) {
    const text = writeMotion(motion);
    for (const { link } of this.members) {
      if (link?.state === "connected" && Math.random() >= dropShare) link.sendLossy(text);
    }
  }

  /**
   * Makes all links anew: through the relay only, or by any path.
   *
   * An ICE restart isn't enough, for a browser stays on a direct path as long as it works. On a new
   * seat all links are made anew, and the old ones stay until then.
   */
  setRelayOnly(relayOnly) {
    this.relayOnly = relayOnly;
    this.session.renew();
  }

  #welcome(frame) {
    this.#ice(frame.ice_servers);
    this.seatName = this.session.metadata.name;
    const before = new Map(this.seats);
    this.seats.clear();
    for (const member of this.members) member.seat = null;
    for (const other of frame.members) {
      if (this.formerSeats.includes(other.peer)) continue;
      const member = this.#seat(other);
      const old = before.get(other.peer);
      if (old?.link) succeed(old, member);
    }
    this.formerSeats = [...this.formerSeats, frame.peer].slice(-FORMER_SEATS_MAX);
    this.#broadcast({ seat: frame.peer });
    for (const member of [...this.members]) if (!member.seat) this.#settle(member);
    this.#changed();
  }

  #joined(frame) {
    const member = this.#seat(frame);
    const old = [...this.members].find(({ claim }) => claim === frame.peer);
    if (old) succeed(old, member);
    this.#changed();
  }

  /** The room as it is, on the same seat as before: links stay. */
  #resync(frame) {
    const present = new Set(frame.members.map(({ peer }) => peer));
    for (const peer of [...this.seats.keys()])
      if (!present.has(peer)) this.#left({ peer, reason: "lost" });
    for (const other of frame.members) {
      if (this.seats.has(other.peer)) this.#away(other.peer, other.away ?? false);
      else if (!this.formerSeats.includes(other.peer)) this.#joined(other);
    }
  }

  #away(peer, away) {
    const member = this.seats.get(peer);
    if (!member) return;
    member.away = away;
    this.#changed();
  }

  /** From now on these are the servers, for all links. */
  #ice(iceServers) {
    this.iceServers = iceServers ?? [];
    for (const { link } of this.members) link?.setIceServers(this.iceServers);
  }

  #left({ peer, reason }) {
    const member = this.seats.get(peer);
    if (!member) return;
    this.seats.delete(peer);
    member.seat = null;
    member.away = false;
    member.leftReason = reason;
    if (alive(member) && (member.claim || SEAT_LOST.includes(reason))) {
      this.#emit("departed", { member, reason, kept: true });
    } else {
      member.link?.close();
      this.#settle(member);
    }
    this.#changed();
  }

  #signal({ from, data }) {
    if (data !== null && typeof data === "object") this.seats.get(from)?.link?.handleSignal(data);
  }

  /** Makes a member for a seat, and a link to it. */
  #seat({ peer: seat, metadata, polite, offers, away = false }) {
    const name = cleanText(metadata?.name, NAME_LENGTH_MAX) || `peer ${seat.slice(0, 4)}`;
    const member = new Member({ seat, name, hue: this.#freeHue() });
    member.away = away;
    this.members.add(member);
    this.seats.set(seat, member);
    if (this.seats.size > LINKS_MAX) return member;
    const link = new Peer({
      id: seat,
      polite,
      offers,
      iceServers: this.iceServers,
      relayOnly: this.relayOnly,
      certificate: this.certificate,
      signal: (data) => this.seats.get(seat)?.link === link && this.session.signal(seat, data),
    });
    this.#attach(member, link);
    return member;
  }

  #attach(member, link) {
    member.link = link;
    link.owner = member;
    link.addEventListener("state", () => this.#linkChanged(link));
    link.addEventListener("message", ({ detail }) => this.#message(link, detail));
  }

  #linkChanged(link) {
    const member = link.owner;
    if (!this.members.has(member) || member.link !== link) return;
    if (link.state === "connected") {
      if (this.name !== this.seatName) link.sendReliable(JSON.stringify({ name: this.name }));
      if (member.predecessor) this.#merge(member.predecessor, member);
      this.#greet(link.owner);
    }
    if (link.state === "failed" && member.predecessor && this.relayOnly) {
      // An old direct path is not what was asked for: show that there is none.
      this.#merge(member.predecessor, member);
    }
    if (link.state === "closed" || link.state === "failed") this.#settle(link.owner);
    this.#changed();
  }

  #greet(member) {
    if (member.greeted) return;
    member.greeted = true;
    this.#emit("arrived", { member });
  }

  #message(link, { channel, data }) {
    const member = link.owner;
    if (channel === "lossy") {
      const motion = readMotion(data);
      if (motion) this.#emit("motion", { member, motion });
      return;
    }
    const message = readReliable(data);
    if (message?.chat) this.#emit("chat", { member, text: message.chat });
    if (message?.name) member.name = message.name;
    if (message?.seat) this.#claimed(member, message.seat);
    if (message?.name || message?.seat) this.#changed();
  }

  /** A member says, over its old link, where it sits now. */
  #claimed(member, seat) {
    member.claim = seat;
    const next = this.seats.get(seat);
    if (next && next !== member && !next.predecessor && next.link?.state !== "connected")
      succeed(member, next);
  }

  /** What becomes of a member without a seat or with a closed link. */
  #settle(member) {
    if (alive(member)) return;
    if (member.successor) {
      this.#merge(member, member.successor);
    } else if (!member.seat) {
      this.#emit("departed", { member, reason: member.leftReason, kept: false });
      this.#remove(member);
    }
  }

  /** Moves a member to its new seat and link. The old link has done its work. */
  #merge(member, next) {
    const old = member.link;
    if (this.seats.get(member.seat) === member) this.seats.delete(member.seat);
    this.members.delete(next);
    Object.assign(member, {
      seat: next.seat,
      link: next.link,
      name: next.name,
      away: next.away,
      claim: null,
      leftReason: next.leftReason,
      successor: null,
    });
    if (next.link) next.link.owner = member;
    if (next.seat) this.seats.set(next.seat, member);
    old?.close();
  }

  #remove(member) {
    this.members.delete(member);
    if (this.seats.get(member.seat) === member) this.seats.delete(member.seat);
    if (member.predecessor) member.predecessor.successor = null;
    if (member.successor) member.successor.predecessor = null;
    member.link?.close();
    this.#changed();
  }

  #broadcast(message) {
    const text = JSON.stringify(message);
    return [...this.members].filter(({ link }) => link?.sendReliable(text)).length;
  }

  #freeHue() {
    const taken = new Set([...this.members].map(({ hue }) => hue));
    let hue = 0;
    while (taken.has(hue)) hue += 1;
    return hue;
  }

  #changed() {
    this.#emit("members", null);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function succeed(old, member) {
  old.successor = member;
  member.predecessor = old;
}

function alive({ link }) {
  return link?.state === "connected" || link?.state === "interrupted";
}
