// Another member of the room, and the link to it.

import { Channel, type ChannelOptions } from "./channel.js";
import { Emitter } from "./emitter.js";
import { HeliographError } from "./errors.js";
import type { JsonObject, LeaveReason, MemberFrame } from "./frames.js";
import { Link, type LinkState, type Roles, type SignalData } from "./link.js";
import { Media, type RemoteTrack } from "./media.js";
import { type Diagnosis, type LinkReport, reportOn, withoutServer } from "./report.js";
import { type Path, type PeerStats, readFigures, readPath } from "./stats.js";
import { Switchboard } from "./switchboard.js";

/**
 * What has become of the link to a peer.
 *
 * - `connecting`: a path is being looked for; `connected`: messages get through;
 * - `interrupted`: nothing gets through at the moment, another path is looked for;
 * - `failed`: there is no path so far, and it is tried again with growing pauses;
 * - `closed`: one of both sides closed it; `unlinked`: there are more members than links may be made.
 */
export type PeerState = LinkState | "unlinked";

/** What a peer tells. */
export interface PeerEvents {
  /** The link is in another state. */
  state: PeerState;
  /** The packets go another way. */
  path: Path | null;
  /** The peer has opened a channel. Those before the first listener wait for it. */
  channel: Channel;
  /** The peer sends a track. Those before the first listener wait for it. */
  track: RemoteTrack;
  /** The peer tells something else about itself. */
  metadata: JsonObject;
  /** A message on one of the channels `reliable` and `lossy`; early ones wait for a listener. */
  message: { channel: Channel; data: string | Uint8Array };
  /** The peer has lost the server, or has it again. An open link works on. */
  away: boolean;
  /** The peer has lost its seat for this reason, but the link is open: it may come back (`rejoined`). */
  unseated: LeaveReason;
  /** The peer has another seat; the link is the same. `before` is its id until now. */
  rejoined: { before: string };
  /** The peer is gone, and its link is closed. Nothing more is told. */
  left: LeaveReason;
  /** Something went wrong that costs at most a path or a track. */
  warning: Error;
}

/** What a peer needs of its room. */
export interface PeerHost {
  rtc(): RTCConfiguration;
  signal(to: string, data: object): boolean;
  /** Tells the server what is known of a link. */
  report(peer: string, link: LinkReport): void;
  /** Asks the server why a pair is connected or not. */
  diagnose(peer: string): Promise<Diagnosis>;
  /** The link has changed. */
  changed(peer: Peer): void;
  /** The peer has said over its link where it sits now. */
  claimed(peer: Peer, seat: string): void;
}

/** How many signals of a newer connection wait until the one there is breaks or is adopted. */
const ASIDE_MAX = 64;

/** Reports of a link are at least so far apart. */
const REPORT_MS = 1000;

/** What can't be asked for without a connection to the server. */
const UNASKABLE = ["offline", "timeout", "ended", "unknown_type"];

/** Another member of the room. It stays the same when it comes back on another seat. */
export class Peer extends Emitter<PeerEvents> {
  /** The channel for messages that must arrive, in order. */
  readonly reliable: Channel;
  /** The channel for what is soon out of date: nothing is sent twice or waited for. */
  readonly lossy: Channel;
  #host: PeerHost;
  #member: MemberFrame;
  #link: Link | null = null;
  #switchboard: Switchboard | null = null;
  #media: Media;
  #path: Path | null = null;
  #aside: SignalData[] = [];
  /** Whether it was us who closed the link. */
  #isClosed = false;
  #hasSeat = true;
  #heard = false;
  #reporting: ReturnType<typeof setTimeout> | undefined;
  #reportedAt = -Infinity;

  /** Made by the SDK: see the room's event `peer`. */
  constructor(member: MemberFrame, host: PeerHost) {
    super(["channel", "track", "message"]);
    this.#member = member;
    this.#host = host;
    this.#media = new Media((track) => this.emit("track", track));
    this.reliable = this.#standard("reliable", {});
    this.lossy = this.#standard("lossy", { lossy: true });
  }

  /** The peer's id. It changes when the peer comes back on another seat (`rejoined`). */
  get id(): string {
    return this.#member.peer;
  }

  /** What the peer tells about itself. */
  get metadata(): JsonObject {
    return this.#member.metadata;
  }

  /** What its token says that it is. */
  get role(): string | undefined {
    return this.#member.role;
  }

  /** Whether it has no connection to the server at the moment. An open link works on. */
  get away(): boolean {
    return !this.#hasSeat || (this.#member.away ?? false);
  }

  /** Whether it has a seat in the room. Who has lost it may come back as long as the link is open. */
  get hasSeat(): boolean {
    return this.#hasSeat;
  }

  /** What has become of the link. */
  get state(): PeerState {
    return this.#link?.state ?? "unlinked";
  }

  /** How the packets go; `null` while there is no path. */
  get path(): Path | null {
    return this.#path;
  }

  /** Whether anything has come from it: who stays silent may be asleep. */
  get heard(): boolean {
    return this.#heard;
  }

  /** The connection itself, for what this SDK has no words for; `null` if there is none. */
  get connection(): RTCPeerConnection | null {
    return this.#link?.pc ?? null;
  }

  /**
   * The channel of this label: the one there is, or a new one, which the peer is told of (`channel`).
   *
   * It opens once the peer has made its end. A peer that isn't of one of Heliograph's SDKs never
   * does; `reliable` and `lossy` work with it if it makes them too.
   *
   * Throws a `HeliographError`: `closed` without a link, `too_many`, `bad_option`.
   */
  channel(label: string, options: ChannelOptions = {}): Channel {
    if (label === "reliable") return this.reliable;
    if (label === "lossy") return this.lossy;
    if (!this.#switchboard)
      throw new HeliographError("closed", "There is no link to this peer: call restart() first.");
    return this.#switchboard.open(label, options);
  }

  /** Sends a track; the peer is told of it (`track`) with these streams. */
  addTrack(track: MediaStreamTrack, ...streams: MediaStream[]): void {
    this.#media.add(track, streams);
  }

  /** Sends the track no more. */
  removeTrack(track: MediaStreamTrack): void {
    this.#media.remove(track);
  }

  /** Sends another track in the place of one, without new negotiation. */
  async replaceTrack(track: MediaStreamTrack, by: MediaStreamTrack): Promise<void> {
    await this.#media.replace(track, by);
  }

  /** Figures of the link now. */
  async stats(): Promise<PeerStats> {
    const link = this.#link;
    const report = link && link.state !== "closed" ? await link.pc.getStats() : new Map();
    const { restarts = 0, connectedInMs = null } = link ?? {};
    return { ...readFigures(report), restarts, connectedInMs };
  }

  /**
   * Why this pair is connected or not: the server's verdict, of what both sides and the relay know.
   * Without the server: the verdict `signaling_lost`.
   */
  async diagnosis(): Promise<Diagnosis> {
    const yours = await this.#report();
    try {
      return await this.#host.diagnose(this.id);
    } catch (error) {
      if (UNASKABLE.includes((error as HeliographError).code)) return withoutServer(yours);
      throw error;
    }
  }

  /** Looks for another path; makes a new link if there is none. What is open stays open. */
  restart(): void {
    if (this.#link && this.#link.state !== "closed") this.#link.retry();
    else this.#makeLink(true);
  }

  /** Closes the link. The peer stays a member of the room; `restart` makes another link. */
  close(): void {
    this.#isClosed = true;
    this.#link?.close();
  }

  /** @internal Whether the link works, or may again in a moment. */
  get isAlive(): boolean {
    return this.#link?.isAlive ?? false;
  }

  /** @internal What the server says of it. */
  get member(): MemberFrame {
    return this.#member;
  }

  /** @internal Begins the first link. */
  begin(): void {
    this.#makeLink(false);
  }

  /** @internal Takes what came by the server. */
  handleSignal(data: SignalData): void {
    if (this.#isClosed || !this.#link) return;
    this.#heard = true;
    const { link: id } = data;
    const known = this.#link.remoteId;
    if (typeof id === "string" && known !== null && known !== id) return this.#handleOther(data);
    if (typeof id === "string") this.#link.remoteId = id;
    this.#link.handleSignal(data);
  }

  /** @internal Tells the peer over the link where we sit now. */
  tellSeat(seat: string): void {
    if (this.isAlive) this.#switchboard?.sit(seat);
  }

  /** @internal It has this seat from now on, of which these signals have come before. */
  reseat(member: MemberFrame, signals: SignalData[]): void {
    const before = this.id;
    const wasAway = this.away;
    this.#member = member;
    this.#hasSeat = true;
    if (this.isAlive) this.#link?.seat(member);
    else this.#makeLink(false);
    // What an attempt has sent that is given up isn't for this link.
    const known = this.#link?.remoteId;
    for (const signal of signals)
      if (!this.isAlive || signal.link === known) this.handleSignal(signal);
    this.#aside = [];
    if (this.away !== wasAway) this.emit("away", this.away);
    if (this.id !== before) this.emit("rejoined", { before });
    this.emit("metadata", member.metadata);
    this.renew();
  }

  /** @internal It has no seat any more; its link may work. */
  unseat(reason: LeaveReason): void {
    if (!this.#hasSeat) return;
    const wasAway = this.away;
    this.#hasSeat = false;
    if (!wasAway) this.emit("away", true);
    if (this.isAlive) this.emit("unseated", reason);
  }

  /** @internal It has lost the server, or has it again. */
  setAway(away: boolean): void {
    if ((this.#member.away ?? false) === away) return;
    this.#member = { ...this.#member, away };
    this.emit("away", away);
  }

  /** @internal It tells something else about itself. */
  setMetadata(metadata: JsonObject): void {
    this.#member = { ...this.#member, metadata };
    this.emit("metadata", metadata);
  }

  /** @internal Takes other servers. */
  setIceServers(servers: RTCIceServer[]): void {
    this.#link?.setIceServers(servers);
  }

  /** @internal Makes the link anew if other kinds of paths are wanted than it was made for. */
  renew(): void {
    const link = this.#link;
    if (!link || link.state === "closed" || !this.#hasSeat) return;
    const isWanted = this.#host.rtc().iceTransportPolicy === "relay";
    if (link.isRelayOnly !== isWanted) this.#makeLink(true);
  }

  /** @internal The network has changed: looks for another path at once. */
  networkChanged(): void {
    if (this.#link?.isAlive || this.#link?.state === "failed") this.#link.retry();
  }

  /** @internal It is gone. */
  leave(reason: LeaveReason): void {
    this.close();
    clearTimeout(this.#reporting);
    this.reliable.ended();
    this.lossy.ended();
    this.emit("left", reason);
    this.silence();
  }

  #standard(label: string, options: ChannelOptions): Channel {
    const channel = new Channel(label, options, () => this.close());
    channel.on("message", (data) => this.emit("message", { channel, data }));
    return channel;
  }

  /** A signal of another connection than the one that ours is linked to. */
  #handleOther(data: SignalData): void {
    if (this.state !== "connected") {
      this.#makeLink(false);
      return this.handleSignal(data);
    }
    if (this.#aside[0]?.link !== data.link) this.#aside = [];
    if (this.#aside.length < ASIDE_MAX) this.#aside.push(data);
  }

  #makeLink(begins: boolean, attempts = 0): void {
    this.#dropLink();
    this.#isClosed = false;
    const { polite, offers } = this.#member;
    const roles: Roles = { polite, offers };
    const link: Link = new Link({
      ...roles,
      begins,
      attempts,
      rtc: this.#host.rtc(),
      signal: (data) => this.#signal(link, data),
      changed: () => link === this.#link && this.#changed(link),
      moved: () => link === this.#link && void this.#moved(link),
      askRestart: () => link === this.#link && this.#switchboard?.askRestart(),
      spent: (made) => link === this.#link && this.#makeLink(true, made),
      track: (event) => this.#media.came(event),
      broken: (error) => this.emit("warning", error),
    });
    this.#link = link;
    const { init } = this.reliable;
    this.reliable.attach(link.reliable, init, () => link.messageMax);
    this.lossy.attach(link.lossy, this.lossy.init, () => link.messageMax);
    this.reliable.answered();
    this.lossy.answered();
    this.#switchboard = new Switchboard(link.control, link.isEven, {
      make: (label, id, how) => link.make(label, id, how),
      messageMax: () => link.messageMax,
      opened: (channel) => this.emit("channel", channel),
      claimed: (seat) => this.#host.claimed(this, seat),
      restarts: () => link.handleAsked(),
    });
    this.#media.attach(link.pc);
    this.emit("state", this.state);
    this.#reportSoon();
  }

  #signal(link: Link, data: object): boolean {
    return link === this.#link && this.#hasSeat && this.#host.signal(this.id, data);
  }

  /** Lets the link go without a word to anybody here. */
  #dropLink(): void {
    const link = this.#link;
    this.#link = null;
    this.#endChannels();
    link?.close();
  }

  #endChannels(): void {
    this.#switchboard?.end();
    this.#switchboard = null;
    this.reliable.detach();
    this.lossy.detach();
  }

  #changed(link: Link): void {
    if (link.state === "closed") {
      this.#endChannels();
      this.#setPath(null);
    }
    this.emit("state", this.state);
    this.#reportSoon();
    const aside = link.state === "connected" ? [] : this.#aside.splice(0);
    for (const signal of aside) this.handleSignal(signal);
    this.#host.changed(this);
  }

  async #moved(link: Link): Promise<void> {
    const report = await link.pc.getStats().catch(() => null);
    if (report && link === this.#link && link.state !== "closed") this.#setPath(readPath(report));
  }

  #setPath(path: Path | null): void {
    const isSame = isSamePath(path, this.#path);
    this.#path = path;
    if (isSame) return;
    this.emit("path", path);
    this.#reportSoon();
  }

  /** Tells the server what is known of the link, but not all the time. */
  #reportSoon(): void {
    if (this.#reporting !== undefined) return;
    const wait = Math.max(0, this.#reportedAt + REPORT_MS - performance.now());
    this.#reporting = setTimeout(() => void this.#report(), wait);
  }

  async #report(): Promise<LinkReport | undefined> {
    clearTimeout(this.#reporting);
    this.#reporting = undefined;
    this.#reportedAt = performance.now();
    const link = this.#link;
    if (!link) return undefined;
    const report = await reportOn(link);
    if (this.#hasSeat) this.#host.report(this.id, report);
    return report;
  }
}

function isSamePath(one: Path | null, other: Path | null): boolean {
  if (!one || !other) return one === other;
  return (["kind", "local", "remote", "protocol"] as const).every((key) => one[key] === other[key]);
}
