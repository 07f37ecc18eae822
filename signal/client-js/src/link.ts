// A link: one RTCPeerConnection with perfect negotiation, its three channels, and the search for
// another path when there is none.

import { Candidates } from "./candidates.js";
import type { ChannelInit } from "./channel.js";
import { CONTROL_ID, LOSSY_ID, RELIABLE_ID } from "./switchboard.js";
import { readPath } from "./stats.js";

/** Candidates that may wait for the description they belong to. */
const CANDIDATES_MAX = 64;

/** How long an interrupted link may come back by itself before another path is looked for. */
const PATIENCE_MS = 2000;

/** How much longer the side waits that gives way: mostly the other one has begun by then. */
const POLITENESS_MS = 1000;

/** How long the other side has to look for another path when it is asked: older ones don't know how. */
const ASKED_MS = 1000;

/** How often the other side may have another path looked for: each makes signals and allocations. */
const HEED_PAUSE_MS = 4000;

/** The pauses between attempts to find another path: they double. */
const RESTART_FIRST_MS = 1000;
const RESTART_MS_MAX = 30_000;

/** What becomes of a link. */
export type LinkState = "connecting" | "connected" | "interrupted" | "failed" | "closed";

/** The roles of a pair, as the server gives them. */
export interface Roles {
  /** Whether this side gives way when offers collide. */
  polite: boolean;
  /** Whether this side makes the first offer. */
  offers: boolean;
}

/** What a link is made with. */
export interface LinkSetup extends Roles {
  /** Whether this side begins, whatever its role: it replaces a link that was closed. */
  begins: boolean;
  /** Attempts to find a path that links before it have made in vain. */
  attempts?: number;
  rtc: RTCConfiguration;
  /** Sends a value to the other side through the server; `false` if that can't be done. */
  signal(data: object): boolean;
  /** The state has changed. */
  changed(): void;
  /** The path may have changed. */
  moved(): void;
  /** Asks the other side, over the link, to look for another path. */
  askRestart(): void;
  /** Only another link can find a path: so many attempts were made in vain. */
  spent(attempts: number): void;
  /** A track of the other side has come. */
  track(event: RTCTrackEvent): void;
  /** The other side has done something that can't be applied, or the browser refused a step. */
  broken(error: Error): void;
}

/** What came by the server: any of these. */
export interface SignalData {
  description?: RTCSessionDescriptionInit;
  candidate?: RTCIceCandidateInit | null;
  link?: string;
}

/** A connection to one other peer. */
export class Link {
  /** What the other side knows this connection by. */
  readonly id = random();
  /** What it calls its own; `null` until it says so. */
  remoteId: string | null = null;
  readonly pc: RTCPeerConnection;
  readonly reliable: RTCDataChannel;
  readonly lossy: RTCDataChannel;
  readonly control: RTCDataChannel;
  readonly candidates = new Candidates();
  readonly begunAt = performance.now();
  /** Who had which role when it was made: so the numbers of channels are shared out. */
  readonly isEven: boolean;
  /** Whether only paths by the relay are used. */
  readonly isRelayOnly: boolean;
  state: LinkState = "connecting";
  connectedInMs: number | null = null;
  restarts = 0;
  /** Whether a description of ours was sent, and one of theirs applied. */
  offered = false;
  answered = false;
  #setup: LinkSetup;
  #roles: Roles;
  #makingOffer = false;
  #ignoringOffer = false;
  #settingAnswer = false;
  #waiting: (RTCIceCandidateInit | null)[] = [];
  /** What came is worked off in its order. */
  #work: Promise<void> = Promise.resolve();
  #attempts: number;
  /** Whether the browser has given its channels up. */
  #isSpent = false;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Whether this side made the first offer, and so chooses the path. */
  #chooses: boolean | null = null;
  /** Runs while the other side is asked to look for another path. */
  #asked: ReturnType<typeof setTimeout> | undefined;
  /** Runs while the other side isn't heeded again. */
  #heeded: ReturnType<typeof setTimeout> | undefined;

  constructor(setup: LinkSetup) {
    this.#setup = setup;
    this.#roles = { polite: setup.polite, offers: setup.offers };
    this.#attempts = setup.attempts ?? 0;
    this.isEven = setup.offers;
    this.isRelayOnly = setup.rtc.iceTransportPolicy === "relay";
    this.pc = new RTCPeerConnection(setup.rtc);
    this.reliable = this.make("reliable", RELIABLE_ID, { ordered: true });
    this.lossy = this.make("lossy", LOSSY_ID, { ordered: false, maxRetransmits: 0 });
    this.control = this.make("heliograph", CONTROL_ID, { ordered: true });
    this.#listen();
  }

  /** Makes this side's end of a channel. */
  make(label: string, id: number, init: ChannelInit): RTCDataChannel {
    return this.pc.createDataChannel(label, { ...init, negotiated: true, id });
  }

  /** Whether messages get through, or may again in a moment. */
  get isAlive(): boolean {
    return this.state === "connected" || this.state === "interrupted";
  }

  /** The most bytes of a message; `null` before it is negotiated. */
  get messageMax(): number | null {
    const max = this.pc.sctp?.maxMessageSize;
    return max === undefined ? null : Math.min(max, Number.MAX_SAFE_INTEGER);
  }

  /** Takes other roles: those of new seats. What was on the way to the old ones is said again. */
  seat(roles: Roles): void {
    this.#roles = { ...roles };
    if (this.pc.signalingState === "have-local-offer") this.#describeSelf();
  }

  /** Takes what the other side sent through the server, in the order of its arrival. */
  handleSignal(data: SignalData): void {
    this.#work = this.#work.then(() => this.#handle(data)).catch((error) => this.#broken(error));
  }

  /** Takes other servers. A path by a relay moves there before the old credentials expire. */
  setIceServers(iceServers: RTCIceServer[]): void {
    if (this.state === "closed") return;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    void this.#leaveOldRelay();
  }

  /** Looks for another path. What is open stays open. */
  restart(): void {
    if (this.state === "closed") return;
    if (this.#isSpent) return this.#setup.spent(this.#attempts);
    this.restarts += 1;
    this.pc.restartIce();
  }

  /** The other side asks for another path; if too often, it looks for one itself. */
  handleAsked(): void {
    if (this.#heeded !== undefined || this.state !== "connected") return;
    this.#heeded = setTimeout(() => (this.#heeded = undefined), HEED_PAUSE_MS);
    this.restart();
  }

  /** Looks for another path, and has patience anew if there is none. */
  retry(): void {
    this.#attempts = 0;
    this.#stopRetry();
    this.restart();
  }

  /** Closes the connection; the other side notices at once. */
  close(): void {
    if (this.state === "closed") return;
    this.#stopRetry();
    clearTimeout(this.#asked);
    clearTimeout(this.#heeded);
    const { pc } = this;
    pc.onnegotiationneeded = pc.onicecandidate = pc.onicecandidateerror = null;
    pc.onconnectionstatechange = pc.ontrack = null;
    pc.close();
    this.#enter("closed");
  }

  #listen(): void {
    const { pc } = this;
    pc.onnegotiationneeded = () => void this.#offer();
    pc.onicecandidate = ({ candidate }) => this.#gathered(candidate);
    pc.onicecandidateerror = (event) => this.candidates.failed(event);
    pc.onconnectionstatechange = () => this.#update();
    pc.ontrack = (event) => this.#setup.track(event);
    for (const channel of [this.reliable, this.lossy, this.control]) {
      channel.addEventListener("open", () => this.#update());
      channel.addEventListener("close", () => this.#lose());
    }
  }

  /**
   * A channel that every link has is closed: by the other side, which closes the connection, or by the
   * browser, since it failed. Firefox does so at once when the network is gone.
   */
  #lose(): void {
    if (this.pc.connectionState === "failed") this.#isSpent = true;
    else this.close();
  }

  #gathered(candidate: RTCIceCandidate | null): void {
    if (candidate) this.candidates.gathered(candidate);
    this.#signal({ candidate });
  }

  #signal(data: object): void {
    if (!this.#setup.signal({ ...data, link: this.id }) && "description" in data)
      this.#broken(
        new Error("A description can't be sent now, or is too large: use fewer tracks."),
      );
  }

  async #offer(): Promise<void> {
    // The first offer is for one side to make; afterwards both may.
    const begins = this.#roles.offers || this.#setup.begins;
    if (!begins && !this.pc.remoteDescription) return;
    try {
      this.#makingOffer = true;
      await this.pc.setLocalDescription();
      this.#describeSelf();
    } catch (error) {
      this.#broken(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  #describeSelf(): void {
    const { localDescription } = this.pc;
    if (!localDescription) return;
    const { type, sdp } = localDescription;
    this.offered = true;
    this.#signal({ description: { type, sdp } });
  }

  async #handle({ description, candidate }: SignalData): Promise<void> {
    if (this.state === "closed") return;
    if (description) await this.#describe(description);
    if (candidate) this.candidates.came(candidate);
    if (candidate !== undefined) await this.#addCandidate(candidate);
  }

  /** Perfect negotiation, https://www.w3.org/TR/webrtc/#perfect-negotiation-example. */
  async #describe(description: RTCSessionDescriptionInit): Promise<void> {
    const { pc } = this;
    if (description.type === "rollback" && pc.signalingState !== "have-remote-offer") return;
    const isReady = pc.signalingState === "stable" || this.#settingAnswer;
    const collides = description.type === "offer" && (this.#makingOffer || !isReady);
    this.#ignoringOffer = !this.#roles.polite && collides;
    if (this.#ignoringOffer) return;
    this.#settingAnswer = description.type === "answer";
    try {
      await pc.setRemoteDescription(description);
      this.answered = true;
      this.#chooses ??= description.type === "answer";
    } finally {
      this.#settingAnswer = false;
    }
    if (description.type === "offer") {
      clearTimeout(this.#asked);
      await pc.setLocalDescription();
      this.#describeSelf();
    }
    for (const waiting of this.#waiting.splice(0)) await this.#addCandidate(waiting);
  }

  async #addCandidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    if (!this.pc.remoteDescription) {
      if (this.#waiting.length < CANDIDATES_MAX) this.#waiting.push(candidate);
      return;
    }
    try {
      await this.pc.addIceCandidate(candidate ?? undefined);
    } catch (error) {
      // One that can't be used costs a path, not the connection.
      if (!this.#ignoringOffer) this.#broken(error);
    }
  }

  #update(): void {
    if (this.state === "closed") return;
    const { connectionState } = this.pc;
    if (connectionState === "connected" && this.reliable.readyState === "open") {
      this.#stopRetry();
      this.#attempts = 0;
      this.connectedInMs ??= performance.now() - this.begunAt;
      this.#watchPath();
      this.#enter("connected");
      this.#setup.moved();
    } else if (connectionState === "disconnected") {
      const patience = PATIENCE_MS + (this.#roles.polite ? POLITENESS_MS : 0);
      this.#restartIn(patience);
      this.#enter("interrupted");
    } else if (connectionState === "failed") {
      this.#restartLater();
      this.#enter("failed");
    } else if (connectionState === "connecting" && this.state !== "interrupted") {
      this.#enter("connecting");
    }
  }

  #watchPath(): void {
    const transport = this.pc.sctp?.transport?.iceTransport;
    if (transport) transport.onselectedcandidatepairchange = () => this.#setup.moved();
  }

  async #leaveOldRelay(): Promise<void> {
    const report = await this.pc.getStats().catch(() => null);
    const path = report && readPath(report);
    if (path?.local !== "relay" || this.state !== "connected") return;
    if (!this.#chooses) return this.restart();
    // Firefox hears nothing for seconds if the other side chooses the path and looks for another one.
    this.#setup.askRestart();
    clearTimeout(this.#asked);
    this.#asked = setTimeout(() => this.restart(), ASKED_MS);
  }

  #restartIn(ms: number): void {
    this.#stopRetry();
    this.#retry = setTimeout(() => {
      this.restart();
      this.#restartLater();
    }, ms);
  }

  #restartLater(): void {
    const pause = Math.min(RESTART_MS_MAX, RESTART_FIRST_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#restartIn(pause);
  }

  #stopRetry(): void {
    clearTimeout(this.#retry);
  }

  #broken(error: unknown): void {
    if (this.state !== "closed") this.#setup.broken(error as Error);
  }

  #enter(state: LinkState): void {
    if (this.state === state) return;
    this.state = state;
    this.#setup.changed();
  }
}

/** A name that no other connection has. */
function random(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return btoa(String.fromCharCode(...bytes));
}
