// One peer: an RTCPeerConnection with perfect negotiation, and the two negotiated data channels of
// the protocol.

import { readPath } from "./stats.js";

/** Candidates that may wait for the description they belong to. */
const CANDIDATES_MAX = 64;

/** Attempts to find a new path after a failure, before somebody has to ask for more. */
const RESTARTS_MAX = 4;
const RESTART_FIRST_MS = 1000;

/** How long a pair may be without an answer before we say so. */
const SILENCE_MS = 15_000;

/** A lossy channel with this much unsent is full: newer state will come soon enough. */
const LOSSY_BUFFERED_MAX = 16 * 1024;
const RELIABLE_BUFFERED_MAX = 256 * 1024;

/**
 * A connection to one member of the room.
 *
 * `polite` and `offers` are the pair's roles as the server gave them; `certificate` may be `null`.
 * `signal` sends a JSON value to the peer through the server, and returns false if that can't be
 * done.
 *
 * `state` is `connecting`, `connected`, `interrupted` (it may come back by itself), `failed` or
 * `closed`. Events: `state`; `message` with `detail: { channel: "reliable" | "lossy", data }`.
 */
export class Peer extends EventTarget {
  constructor({ id, polite, offers, iceServers, relayOnly, certificate, signal }) {
    super();
    this.id = id;
    this.polite = polite;
    this.offers = offers;
    this.signal = signal;
    this.iceServers = iceServers;
    this.state = "connecting";
    this.heard = false;
    this.silent = false;
    this.restarts = 0;
    this.iceErrors = [];
    this.pc = new RTCPeerConnection({
      iceServers,
      iceTransportPolicy: relayOnly ? "relay" : "all",
      certificates: certificate && certificate.expires > Date.now() ? [certificate] : [],
    });
    this.channels = {
      reliable: this.#channel("reliable", { id: 0 }),
      lossy: this.#channel("lossy", { id: 1, ordered: false, maxRetransmits: 0 }),
    };
    this.makingOffer = false;
    this.ignoringOffer = false;
    this.settingAnswer = false;
    this.candidates = [];
    this.work = Promise.resolve();
    this.silence = setTimeout(() => this.#noAnswer(), SILENCE_MS);
    this.pc.onnegotiationneeded = () => this.#offer();
    this.pc.onicecandidate = ({ candidate }) => candidate && this.signal({ candidate });
    this.pc.onicecandidateerror = (event) => this.#iceError(event);
    this.pc.onconnectionstatechange = () => this.#update();
  }

  /**
   * Takes what the peer sent through the server. Messages are worked off in the order of their
   * arrival.
   */
  handleSignal(data) {
    this.heard = true;
    this.work = this.work.then(() => this.#handle(data)).catch((error) => this.#broken(error));
    return this.work;
  }

  /** Sends text that must arrive; false if it can't be sent now. */
  sendReliable(text) {
    return send(this.channels.reliable, text, RELIABLE_BUFFERED_MAX);
  }

  /** Sends text that is soon out of date; false if the channel isn't open or has no room. */
  sendLossy(text) {
    return send(this.channels.lossy, text, LOSSY_BUFFERED_MAX);
  }

  /** The path in use (see `readPath`), or `null`. */
  async path() {
    return this.state === "closed" ? null : readPath(await this.pc.getStats());
  }

  /** Takes other servers, for when a new path is looked for. */
  setIceServers(iceServers) {
    if (this.state === "closed") return;
    this.iceServers = iceServers;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
  }

  /** Looks for a new path. The channels stay open. */
  restart() {
    if (this.state === "closed") return;
    this.iceErrors = [];
    this.pc.restartIce();
  }

  /** Closes the connection; the other side notices at once. */
  close() {
    if (this.state === "closed") return;
    clearTimeout(this.silence);
    clearTimeout(this.retry);
    this.pc.close();
    this.#enter("closed");
  }

  #channel(label, options) {
    const channel = this.pc.createDataChannel(label, { negotiated: true, ...options });
    channel.binaryType = "arraybuffer";
    channel.onopen = () => this.#update();
    channel.onclose = () => this.close();
    channel.onmessage = ({ data }) => {
      this.dispatchEvent(new CustomEvent("message", { detail: { channel: label, data } }));
    };
    return channel;
  }

  async #offer() {
    // The first offer is for one side to make; afterwards both may.
    if (!this.offers && !this.pc.remoteDescription) return;
    try {
      this.makingOffer = true;
      await this.pc.setLocalDescription();
      this.signal({ description: this.pc.localDescription });
    } catch (error) {
      this.#broken(error);
    } finally {
      this.makingOffer = false;
    }
  }

  async #handle({ description, candidate }) {
    if (this.state === "closed") return;
    if (description) await this.#describe(description);
    if (candidate) await this.#addCandidate(candidate);
  }

  /** Perfect negotiation, https://www.w3.org/TR/webrtc/#perfect-negotiation-example. */
  async #describe(description) {
    const { pc } = this;
    if (description.type === "rollback" && pc.signalingState !== "have-remote-offer") return;
    const ready = !this.makingOffer && (pc.signalingState === "stable" || this.settingAnswer);
    const collision = description.type === "offer" && !ready;
    this.ignoringOffer = !this.polite && collision;
    if (this.ignoringOffer) return;
    this.settingAnswer = description.type === "answer";
    try {
      await pc.setRemoteDescription(description);
    } finally {
      this.settingAnswer = false;
    }
    if (description.type === "offer") {
      await pc.setLocalDescription();
      this.signal({ description: pc.localDescription });
    }
    for (const waiting of this.candidates.splice(0)) await this.#addCandidate(waiting);
  }

  async #addCandidate(candidate) {
    if (!this.pc.remoteDescription) {
      if (this.candidates.length < CANDIDATES_MAX) this.candidates.push(candidate);
      return;
    }
    try {
      await this.pc.addIceCandidate(candidate);
    } catch (error) {
      // One that can't be used costs a path, not the connection.
      if (!this.ignoringOffer) console.warn("candidate not used:", error.message);
    }
  }

  #update() {
    if (this.state === "closed") return;
    const { connectionState } = this.pc;
    const open = Object.values(this.channels).every(({ readyState }) => readyState === "open");
    if (connectionState === "connected" && open) {
      clearTimeout(this.silence);
      this.silent = false;
      this.restarts = 0;
      this.#enter("connected");
    } else if (connectionState === "disconnected") {
      this.#enter("interrupted");
    } else if (connectionState === "failed") {
      this.#enter("failed");
      this.#restartLater();
    } else if (connectionState === "connecting") {
      this.#enter("connecting");
    }
  }

  #restartLater() {
    if (this.restarts === RESTARTS_MAX) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.restart(), RESTART_FIRST_MS * 2 ** this.restarts);
    this.restarts += 1;
  }

  #noAnswer() {
    this.silent = !this.heard;
    this.dispatchEvent(new Event("state"));
  }

  #iceError({ url, errorCode, errorText }) {
    this.iceErrors = [...this.iceErrors.slice(-3), { url, errorCode, errorText }];
  }

  /** The peer sent something that can't be applied, or the browser refused a step. */
  #broken(error) {
    if (this.state === "closed") return;
    console.warn(`negotiation with ${this.id}:`, error.message);
  }

  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

function send(channel, text, bufferedMax) {
  if (channel.readyState !== "open" || channel.bufferedAmount > bufferedMax) return false;
  channel.send(text);
  return true;
}
