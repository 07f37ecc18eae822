// A room: a seat in it, who else is there, and what the room keeps.

import type { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { Endpoint } from "./endpoint.js";
import { HeliographError } from "./errors.js";
import type {
  BroadcastFrame,
  Json,
  JsonObject,
  LeaveReason,
  RoomFrame,
  RoomStateFrame,
  Rules,
  WelcomeFrame,
} from "./frames.js";
import type { Peer } from "./peer.js";
import type { Diagnosis } from "./report.js";
import { Roster } from "./roster.js";
import { Session } from "./session.js";
import type { TokenSource } from "./token.js";
import type { Frame, OpenTransport, TransportName } from "./transport.js";

/** What a room is like, for who makes it by coming first (docs/protocol.md, Rooms). */
export interface RoomOptions {
  /** The most members. */
  capacity?: number;
  /** Nobody else gets in. */
  sealed?: boolean;
  /** The room is in the list of rooms. */
  public?: boolean;
  /** One of the members is the host. */
  hosted?: boolean;
  /** What newcomers must show. */
  password?: string;
  /** Who may set the state. */
  writers?: "all" | "host";
  /** How many broadcasts are kept for newcomers. */
  history?: number;
  /** The first state. */
  state?: Json;
}

/** What a host may change of a room; what isn't named stays. */
export type RulesPatch = Partial<
  Pick<RoomOptions, "capacity" | "sealed" | "public" | "writers">
> & {
  /** `null`: none any more. */
  password?: string | null;
};

/** How a room is joined. */
export interface JoinOptions {
  /** What the others are told about this peer: an object of at most 1,024 bytes as JSON. */
  metadata?: JsonObject;
  /** Shows that one may join: a token, or what gives one whenever it is needed. */
  token?: TokenSource;
  /** The room's password. */
  password?: string;
  /** What the room is like, if this makes it. */
  create?: RoomOptions;
  /** Where broadcasts are kept: the number of the last one that is known. Those behind it come first. */
  after?: number;
  /** Uses only paths by the relay, so that no peer learns one's address. */
  relayOnly?: boolean;
  /** What may carry the session, in the order in which it is tried. */
  transports?: readonly TransportName[];
  /** Ends the attempt to join: `AbortSignal.timeout(10_000)`. */
  signal?: AbortSignal;
  /** More for each `RTCPeerConnection`. ICE servers here are used beside the server's own. */
  rtc?: RTCConfiguration;
  /** The most links: further members are `unlinked` until `restart()`. Without it 32. */
  linksMax?: number;
  /** @internal Opens connections to the server. */
  open?: OpenTransport;
}

/** Something that a member has said to several. */
export interface Broadcast {
  /** The peer id of who said it: one's own if it was oneself. */
  from: string;
  /** Who said it; `null` if it was oneself, or is gone. */
  peer: Peer | null;
  /** What was said. */
  data: Json;
  /** Its number, where the room keeps broadcasts. */
  event: number | undefined;
}

/** What a room tells. */
export interface RoomEvents {
  /** Somebody is there; also those that were there before. Early ones wait for a listener. */
  peer: Peer;
  /** Somebody is gone, and its link is closed. */
  left: { peer: Peer; reason: LeaveReason };
  /** The connection to the server has changed. */
  connection: Connection;
  /** The room has another state. */
  state: RoomState;
  /** The room has another host; `null`: none for the moment. */
  host: { host: string | null; term: number; isHost: boolean };
  /** The room has other rules. */
  rules: Rules;
  /** Somebody has said something to several. Early ones wait for a listener. */
  broadcast: Broadcast;
  /** A peer has another seat, or with `null` this client itself. Links stay. */
  rejoined: { peer: Peer | null; before: string };
  /** The server refused something about which nobody waits to know. */
  refused: HeliographError;
  /** The room is left, or lost for good (then with the error). Nothing more is told. */
  ended: HeliographError | null;
}

/** The state that a room keeps for its members. */
export interface RoomState {
  /** How often it was set; 0: never. */
  version: number;
  /** What it is; `null` if it was never set. */
  value: Json;
  /** The peer id of who set it; `null` if that isn't known. */
  by: string | null;
}

/** A page of what was said in a room that keeps broadcasts. */
export interface History {
  /** What was said, the oldest first. */
  events: BroadcastFrame[];
  /** The number of the last one of all. */
  last_event?: number;
  /** Whether some behind `after` are gone already. */
  missed?: boolean;
}

/** Beyond this many, a mesh costs more than a telephone can give. */
const LINKS_MAX = 32;

const NO_STATE: RoomState = { version: 0, value: null, by: null };

/**
 * A seat in a room, and links to its members.
 *
 * A lost connection to the server is resumed, and no link notices. If the seat is lost for good (the
 * server was restarted, or it took too long), another one is taken, and open links stay with it.
 */
export class Room extends Emitter<RoomEvents> {
  /** The room's id. */
  readonly id: string;
  /** Resolves once this client has a seat; rejects if it won't get one. */
  readonly joined: Promise<this>;
  #options: JoinOptions;
  #session: Session;
  #roster: Roster;
  #iceServers: RTCIceServer[] = [];
  #certificates: RTCCertificate[] = [];
  #metadata: JsonObject;
  #relayOnly: boolean;
  #state: RoomState = NO_STATE;
  #host: string | null = null;
  #term: number | null = null;
  #rules: Rules | null = null;
  #self: string | null = null;
  /** Whether the page is gone, perhaps to come back from the browser's memory. */
  #isHidden = false;

  /**
   * Begins to join; see `joined` and the event `connection` for how it goes on.
   *
   * Throws a `HeliographError`, `bad_url`.
   */
  constructor(url: string | URL, id: string, options: JoinOptions = {}) {
    super(["peer", "broadcast"]);
    this.id = id;
    this.#options = options;
    this.#metadata = options.metadata ?? {};
    this.#relayOnly = options.relayOnly ?? false;
    const { metadata, token, password, create, after, transports, open } = options;
    const endpoint = new Endpoint(url);
    this.#session = new Session({
      ...{ endpoint, room: id, metadata, token, password, create, after, transports, open },
    });
    this.#roster = new Roster(this.#rosterHost());
    this.#listen();
    this.joined = this.#whenJoined(options.signal);
    this.joined.catch(() => {}); // Who doesn't wait for it isn't told by it.
    globalThis.addEventListener?.("pagehide", this.#hide);
    globalThis.addEventListener?.("pageshow", this.#show);
    void this.#start();
  }

  /** This client's own id in the room; `null` before the first seat. */
  get peerId(): string | null {
    return this.#self;
  }

  /** What this client's token says that it is. */
  get role(): string | undefined {
    return this.#session.seat?.role;
  }

  /** Everybody else, by id, in the order in which they came. */
  get peers(): ReadonlyMap<string, Peer> {
    return this.#roster.peers;
  }

  /** What the others are told about this peer. */
  get metadata(): JsonObject {
    return this.#metadata;
  }

  /** The state that the room keeps. */
  get state(): RoomState {
    return this.#state;
  }

  /** The peer id of the room's host; `null` if there is none. */
  get host(): string | null {
    return this.#host;
  }

  /** How often the room got a host; `null` if it has none. */
  get term(): number | null {
    return this.#term;
  }

  /** Whether this client is the host. */
  get isHost(): boolean {
    return this.#host !== null && this.#host === this.#self;
  }

  /** The room's rules; `null` if it has none. */
  get rules(): Rules | null {
    return this.#rules;
  }

  /** What there is to say about the connection to the server. */
  get connection(): Connection {
    return this.#session.connection;
  }

  /** Whether only paths by the relay are used. */
  get relayOnly(): boolean {
    return this.#relayOnly;
  }

  /**
   * Says something to all, oneself included, by the server; or only to some others, or to those with
   * a role. Resolves once the server has sent it; whether it arrived nobody is told.
   */
  broadcast(data: Json, { to, role }: { to?: string[]; role?: string } = {}): Promise<void> {
    return this.#session.request({ type: "broadcast", data, peers: to, role });
  }

  /**
   * Sets the state that the room keeps, and resolves with it. With `ifVersion` only if it still has
   * that version (0: it was never set): else it rejects with `conflict`, whose `current` is the one
   * there is.
   */
  async setState(value: Json, { ifVersion }: { ifVersion?: number } = {}): Promise<RoomState> {
    await this.#session.request({ type: "state", value, if_version: ifVersion });
    return this.#state;
  }

  /** Tells the others something else about this peer. */
  async setMetadata(metadata: JsonObject): Promise<void> {
    const before = this.#metadata;
    this.#keepMetadata(metadata);
    // Without a seat it is told with the next one, if there will be one.
    if (!this.#session.seat && !this.#session.isEnded) return;
    try {
      await this.#session.request({ type: "metadata", metadata });
    } catch (error) {
      // What is refused isn't to cost the next seat.
      if ((error as HeliographError).code === "bad_metadata" && this.#metadata === metadata)
        this.#keepMetadata(before);
      throw error;
    }
  }

  /**
   * Uses only paths by the relay from now on, or any again. Open links are made anew for it, as soon as
   * there is a connection to the server: `reliable` and `lossy` go on over the new ones, named channels
   * are closed, and what is on the way is lost.
   */
  setRelayOnly(relayOnly: boolean): void {
    this.#relayOnly = relayOnly;
    if (this.#session.isOnline) this.#renewLinks();
  }

  /** Changes the room's rules, as its host. */
  setRules(rules: RulesPatch): Promise<void> {
    return this.#asHost({ type: "rules", rules });
  }

  /** Makes another member the host, as the host. */
  handOver(to: string): Promise<void> {
    return this.#asHost({ type: "host", to });
  }

  /** Removes a member, as the host. With `ban` it can't come back. */
  kick(peer: string, { ban = false }: { ban?: boolean } = {}): Promise<void> {
    return this.#asHost({ type: "kick", peer, ban });
  }

  /**
   * Shows this token from now on; resolves once the server has taken it. Without a connection it does so at
   * once, and the token is shown on the next one.
   */
  setToken(token: TokenSource): Promise<void> {
    return this.#session.setToken(token);
  }

  /** What was said behind a number, where the room keeps broadcasts; `limit` of them at most. */
  history({ after, limit }: { after?: number; limit?: number } = {}): Promise<History> {
    const { seat, endpoint } = this.#session;
    if (!seat) return Promise.reject(new HeliographError("offline", "There is no seat yet."));
    const path = `rooms/${encodeURIComponent(this.id)}/events`;
    const url = endpoint.at(path, { session: seat.session, after, limit });
    return endpoint.ask<History>(url, { headers: { authorization: `Bearer ${seat.key}` } });
  }

  /** Ends a pause before the next attempt to reach the server. */
  retryNow(): void {
    this.#session.retryNow();
  }

  /** Leaves the room and closes every link. */
  close(): void {
    this.#unlisten();
    if (!this.#session.isEnded) {
      this.#session.close();
      this.#roster.close();
      this.emit("ended", null);
    }
    this.silence();
  }

  #unlisten(): void {
    globalThis.removeEventListener?.("pagehide", this.#hide);
    globalThis.removeEventListener?.("pageshow", this.#show);
  }

  /** All links show one certificate; without one each makes its own. */
  async #start(): Promise<void> {
    const kind = { name: "ECDSA", namedCurve: "P-256" };
    const made = globalThis.RTCPeerConnection?.generateCertificate?.(kind);
    const certificate = await made?.catch(() => null);
    if (certificate) this.#certificates = [certificate];
    if (!this.#session.isEnded) this.#session.start();
  }

  #listen(): void {
    const session = this.#session;
    session.on("connection", (connection) => this.#connectionChanged(connection));
    session.on("welcome", (frame) => this.#welcome(frame));
    session.on("resync", (frame) => this.#resync(frame));
    session.on("frame", (frame) => this.#take(frame));
    session.on("refused", (error) => this.emit("refused", error));
    session.on("network", () => {
      for (const peer of this.peers.values()) peer.networkChanged();
    });
  }

  #whenJoined(signal: AbortSignal | undefined): Promise<this> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        const text = "You ended the attempt to join, or it took too long.";
        reject(new HeliographError("aborted", text, { cause: signal?.reason }));
        this.close();
      };
      if (signal?.aborted) return queueMicrotask(abort);
      signal?.addEventListener("abort", abort, { once: true });
      const done = () => signal?.removeEventListener("abort", abort);
      this.#session.once("welcome", () => {
        done();
        resolve(this);
      });
      this.#session.on("connection", (connection) => {
        if (connection.name !== "ended" || this.#isHidden) return;
        done();
        reject(connection.error ?? new HeliographError("ended", "You have left the room."));
      });
    });
  }

  #connectionChanged(connection: Connection): void {
    this.emit("connection", connection);
    // Behind the welcome, if this is one: who sits where is known then.
    if (connection.name === "online") queueMicrotask(() => this.#renewLinks());
    if (connection.name !== "ended" || connection.error === null) return;
    this.#unlisten();
    this.#roster.close();
    this.emit("ended", connection.error);
  }

  #welcome(frame: WelcomeFrame): void {
    const before = this.#self;
    this.#self = frame.peer;
    this.#ice(frame.ice_servers ?? []);
    this.#learn(frame);
    this.#roster.welcome(frame.peer, frame.members);
    this.#hearAbout(frame);
    if (before !== null && before !== frame.peer) this.emit("rejoined", { peer: null, before });
  }

  #renewLinks(): void {
    for (const peer of this.peers.values()) peer.renew();
  }

  #resync(frame: WelcomeFrame): void {
    this.#learn(frame);
    this.#roster.resync(frame.members);
    this.#hearAbout(frame);
  }

  /** What else there is to know of the room. */
  #learn({ about = {} }: WelcomeFrame): void {
    this.#rules = about.rules ?? null;
    if (this.#rules) this.emit("rules", this.#rules);
    this.#setHost(about.host, about.term);
    this.#setState(about.state, null);
  }

  /** What was said before; who said it is known by now. */
  #hearAbout({ about = {} }: WelcomeFrame): void {
    for (const event of about.events ?? []) this.#broadcast(event);
    this.#session.after = about.last_event ?? this.#session.after;
  }

  #take(frame: RoomFrame): void {
    switch (frame.type) {
      case "joined":
        return this.#roster.joined(frame);
      case "left":
        return this.#roster.left(frame.peer, frame.reason);
      case "away":
      case "back":
        return this.#roster.away(frame.peer, frame.type === "away");
      case "metadata":
        return this.#roster.metadata(frame.peer, frame.metadata);
      case "signal":
        return this.#roster.signal(frame.from, frame.data);
      case "ice":
        return this.#ice(frame.ice_servers);
      case "host":
        return this.#setHost(frame.peer, frame.term);
      case "broadcast":
        return this.#broadcast(frame);
      case "state":
        return this.#setState(frame, frame.by);
      case "rules":
        this.#rules = rulesOf(frame);
        return this.emit("rules", this.#rules);
    }
  }

  #keepMetadata(metadata: JsonObject): void {
    this.#metadata = metadata;
    this.#session.metadata = metadata;
  }

  #setHost(host: string | undefined, term: number | undefined): void {
    this.#host = host ?? null;
    this.#term = term ?? null;
    if (term !== undefined) this.emit("host", { host: this.#host, term, isHost: this.isHost });
  }

  #setState(state: RoomStateFrame | undefined, by: string | null): void {
    this.#state = state ? { version: state.version, value: state.value, by } : NO_STATE;
    if (state) this.emit("state", this.#state);
  }

  #broadcast({ from, data, event }: BroadcastFrame): void {
    this.emit("broadcast", { from, peer: this.peers.get(from) ?? null, data, event });
  }

  /** From now on these are the servers, for all links. */
  #ice(servers: RTCIceServer[]): void {
    this.#iceServers = [...servers, ...(this.#options.rtc?.iceServers ?? [])];
    for (const peer of this.peers.values()) peer.setIceServers(this.#iceServers);
  }

  #asHost(frame: Frame): Promise<void> {
    return this.#session.request({ ...frame, term: this.#term ?? 0 });
  }

  #rosterHost() {
    return {
      linksMax: this.#options.linksMax ?? LINKS_MAX,
      rtc: () => this.#rtc(),
      signal: (to: string, data: object) => this.#session.post({ type: "signal", to, data }),
      report: (peer: string, link: object) => {
        if (this.#session.takesReports) this.#session.tell({ type: "report", peer, link });
      },
      diagnose: (peer: string) => this.#diagnose(peer),
      joined: (peer: Peer) => this.emit("peer", peer),
      left: (peer: Peer, reason: LeaveReason) => this.emit("left", { peer, reason }),
      rejoined: (peer: Peer, before: string) => this.emit("rejoined", { peer, before }),
    };
  }

  async #diagnose(peer: string): Promise<Diagnosis> {
    type Answer = Diagnosis & { type: string; id: number };
    const {
      type: _,
      id: __,
      ...diagnosis
    } = await this.#session.call<Answer>({ type: "diagnose", peer });
    return diagnosis;
  }

  #rtc(): RTCConfiguration {
    const now = Date.now();
    return {
      certificates: this.#certificates.filter(({ expires }) => expires > now),
      ...this.#options.rtc,
      iceServers: this.#iceServers,
      iceTransportPolicy: this.relayOnly
        ? "relay"
        : (this.#options.rtc?.iceTransportPolicy ?? "all"),
    };
  }

  /** The page goes: the others are told at once. It may come back from the browser's memory. */
  #hide = (): void => {
    this.#isHidden = true;
    this.#session.close();
    this.#roster.close();
  };

  #show = (event: PageTransitionEvent): void => {
    if (!event.persisted) return;
    this.#isHidden = false;
    this.#session.start();
  };
}

function rulesOf({ capacity, sealed, public: isPublic, locked, writers, history }: Rules): Rules {
  return { capacity, sealed, public: isPublic, locked, writers, history };
}
