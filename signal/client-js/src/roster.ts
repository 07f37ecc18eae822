// Who is in the room, and who is who when somebody comes back on another seat: links outlive seats
// (docs/protocol.md, Adoption).

import type { JsonObject, LeaveReason, MemberFrame } from "./frames.js";
import type { SignalData } from "./link.js";
import { Peer, type PeerHost } from "./peer.js";

/** Reasons for which a seat ends although its peer may live on. */
const SEAT_LOST: LeaveReason[] = ["lost", "vanished", "slow"];

/**
 * How long links to newcomers wait, while there are open links whose far end hasn't said where it sits
 * now: one of these may be the newcomer.
 */
const REUNION_MS = 2000;

/** How many signals of a member wait meanwhile. */
const SIGNALS_MAX = 64;

/** What a roster is told to do things with, and tells. */
export interface RosterHost extends Omit<PeerHost, "changed" | "claimed"> {
  /** The most links. */
  readonly linksMax: number;
  joined(peer: Peer): void;
  left(peer: Peer, reason: LeaveReason): void;
  rejoined(peer: Peer, before: string): void;
}

/** A member to whom no link has been begun yet. */
interface Newcomer {
  member: MemberFrame;
  signals: SignalData[];
  timer: ReturnType<typeof setTimeout>;
}

/** The peers of a room. */
export class Roster {
  /** All of them by their last id, in the order in which they came. */
  readonly peers = new Map<string, Peer>();
  #host: RosterHost;
  #peerHost: PeerHost;
  #newcomers = new Map<string, Newcomer>();
  /** Where peers have said that they sit now, as long as nobody is known to sit there. */
  #claims = new Map<Peer, string>();
  /** Why those have no seat whose links are still open. */
  #reasons = new Map<Peer, LeaveReason>();

  constructor(host: RosterHost) {
    this.#host = host;
    const claimed = (peer: Peer, seat: string) => this.#claimed(peer, seat);
    const changed = (peer: Peer) => this.#changed(peer);
    this.#peerHost = { ...host, claimed, changed };
  }

  /** We have a new seat; these are the others. Open links stay. */
  welcome(self: string, members: MemberFrame[]): void {
    this.#forgetNewcomers();
    const former = [...this.peers.values()];
    for (const peer of former) this.#unseat(peer, "lost");
    for (const peer of former) peer.tellSeat(self);
    for (const member of members) this.joined(member);
    for (const peer of former) this.#settle(peer);
  }

  /** The room as it is, on the same seat as before. */
  resync(members: MemberFrame[]): void {
    const present = new Set(members.map(({ peer }) => peer));
    for (const peer of this.peers.values())
      if (peer.hasSeat && !present.has(peer.id)) this.left(peer.id, "lost");
    for (const id of this.#newcomers.keys()) if (!present.has(id)) this.left(id, "lost");
    for (const member of members) {
      const peer = this.#seated(member.peer);
      if (!peer) this.joined(member);
      peer?.setMetadata(member.metadata);
      peer?.setAway(member.away ?? false);
    }
  }

  /** A member has come. */
  joined(member: MemberFrame): void {
    const id = member.peer;
    if (this.#seated(id) || this.#newcomers.has(id)) return;
    const before = this.#claimant(id) ?? this.peers.get(id);
    if (before) return this.#reseat(before, member, []);
    if (!this.#isAnyoneMissing()) return this.#begin(member, []);
    const timer = setTimeout(() => this.#beginAfterAll(id), REUNION_MS);
    this.#newcomers.set(id, { member, signals: [], timer });
  }

  /** A member has lost its seat. Its link lives on if it may come back. */
  left(id: string, reason: LeaveReason): void {
    const newcomer = this.#newcomers.get(id);
    clearTimeout(newcomer?.timer);
    this.#newcomers.delete(id);
    const peer = this.#seated(id);
    if (!peer) return;
    const mayReturn = this.#claims.has(peer) || SEAT_LOST.includes(reason);
    if (peer.isAlive && mayReturn) this.#unseat(peer, reason);
    else this.#remove(peer, reason);
  }

  /** A member has lost the server, or has it again. */
  away(id: string, away: boolean): void {
    const newcomer = this.#newcomers.get(id);
    if (newcomer) newcomer.member = { ...newcomer.member, away };
    this.#seated(id)?.setAway(away);
  }

  /** A member tells something else about itself. */
  metadata(id: string, metadata: JsonObject): void {
    const newcomer = this.#newcomers.get(id);
    if (newcomer) newcomer.member = { ...newcomer.member, metadata };
    this.#seated(id)?.setMetadata(metadata);
  }

  /** A member has sent something by the server. */
  signal(from: string, data: unknown): void {
    if (typeof data !== "object" || data === null) return;
    const newcomer = this.#newcomers.get(from);
    if (!newcomer) this.#seated(from)?.handleSignal(data);
    else if (newcomer.signals.length < SIGNALS_MAX) newcomer.signals.push(data);
  }

  /** We leave: all links are closed. */
  close(): void {
    this.#forgetNewcomers();
    for (const peer of [...this.peers.values()]) this.#remove(peer, "left");
  }

  #unseat(peer: Peer, reason: LeaveReason): void {
    this.#reasons.set(peer, reason);
    peer.unseat(reason);
  }

  #seated(id: string): Peer | undefined {
    const peer = this.peers.get(id);
    return peer?.hasSeat ? peer : undefined;
  }

  #claimant(seat: string): Peer | undefined {
    return [...this.#claims].find(([, claim]) => claim === seat)?.[0];
  }

  /** Whether there is an open link whose far end hasn't said where it sits now. */
  #isAnyoneMissing(): boolean {
    return [...this.peers.values()].some(
      (peer) => !peer.hasSeat && peer.isAlive && !this.#claims.has(peer),
    );
  }

  #begin(member: MemberFrame, signals: SignalData[]): void {
    const peer = new Peer(member, this.#peerHost);
    const links = [...this.peers.values()].filter(({ state }) => state !== "unlinked").length;
    this.peers.set(peer.id, peer);
    if (links < this.#host.linksMax) peer.begin();
    this.#host.joined(peer);
    for (const signal of signals) peer.handleSignal(signal);
  }

  #beginAfterAll(id: string): void {
    const newcomer = this.#newcomers.get(id);
    if (!newcomer) return;
    clearTimeout(newcomer.timer);
    this.#newcomers.delete(id);
    this.#begin(newcomer.member, newcomer.signals);
  }

  /** A peer says, over its link, where it sits now: only the peer itself can. */
  #claimed(peer: Peer, seat: string): void {
    if (this.peers.get(peer.id) !== peer || (peer.hasSeat && peer.id === seat)) return;
    const newcomer = this.#newcomers.get(seat);
    const attempt = this.#seated(seat);
    this.#claims.set(peer, seat);
    if (newcomer) {
      clearTimeout(newcomer.timer);
      this.#newcomers.delete(seat);
      this.#reseat(peer, newcomer.member, newcomer.signals);
    } else if (attempt && attempt.state !== "connected") {
      // The link there is works: an attempt beside it is dropped. A link that works isn't given up
      // for what another one says.
      const member = attempt.member;
      this.#remove(attempt, "replaced");
      this.#reseat(peer, member, []);
    }
  }

  #reseat(peer: Peer, member: MemberFrame, signals: SignalData[]): void {
    const before = peer.id;
    this.#claims.delete(peer);
    this.#reasons.delete(peer);
    if (this.peers.get(before) === peer) this.peers.delete(before);
    this.peers.set(member.peer, peer);
    peer.reseat(member, signals);
    if (before !== peer.id) this.#host.rejoined(peer, before);
    this.#beginIfNobodyIsMissing();
  }

  /** A link is in another state. */
  #changed(peer: Peer): void {
    if (this.peers.get(peer.id) !== peer) return;
    if (peer.hasSeat && peer.state === "closed") {
      // Whoever has claimed this seat over a link that works has it now.
      const claimant = this.#claimant(peer.id);
      if (claimant?.isAlive) this.#claimed(claimant, peer.id);
    }
    this.#settle(peer);
  }

  /** What becomes of a peer without a seat whose link is closed. */
  #settle(peer: Peer): void {
    if (peer.hasSeat || peer.isAlive) return;
    this.#remove(peer, this.#reasons.get(peer) ?? "lost");
    this.#beginIfNobodyIsMissing();
  }

  #beginIfNobodyIsMissing(): void {
    if (this.#isAnyoneMissing()) return;
    for (const id of [...this.#newcomers.keys()]) this.#beginAfterAll(id);
  }

  #remove(peer: Peer, reason: LeaveReason): void {
    this.#claims.delete(peer);
    this.#reasons.delete(peer);
    if (this.peers.get(peer.id) === peer) this.peers.delete(peer.id);
    peer.leave(reason);
    this.#host.left(peer, reason);
  }

  #forgetNewcomers(): void {
    for (const { timer } of this.#newcomers.values()) clearTimeout(timer);
    this.#newcomers.clear();
  }
}
