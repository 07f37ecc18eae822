// Heliograph's TypeScript SDK: docs/sdk-js.md. MIT OR Apache-2.0

// src/emitter.ts
var HELD_MAX = 256;
var Emitter = class {
  #listeners = /* @__PURE__ */ new Map();
  #held;
  /** Events of the types in `held` wait for their first listener, so that it misses none. */
  constructor(held = []) {
    this.#held = new Map(held.map((type) => [type, []]));
  }
  /** Calls `listener` for each event of this type; the result ends that. */
  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? /* @__PURE__ */ new Set();
    this.#listeners.set(type, listeners.add(listener));
    if (this.#held.get(type)?.length) queueMicrotask(() => this.#release(type));
    return () => this.off(type, listener);
  }
  /** Calls `listener` for the next event of this type only; the result ends that. */
  once(type, listener) {
    const end = this.on(type, (event) => {
      end();
      listener(event);
    });
    return end;
  }
  /** Calls `listener` no more. */
  off(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }
  /** Tells an event. A listener that throws disturbs no other: its error is reported. */
  emit(type, event) {
    const held = this.#held.get(type);
    if (held && (held.length > 0 || !this.#listeners.get(type)?.size)) {
      if (held.length === HELD_MAX) held.shift();
      held.push(event);
      return;
    }
    this.#tell(type, event);
  }
  /** Nobody is told anything any more. */
  silence() {
    this.#listeners.clear();
    this.#held.clear();
  }
  #release(type) {
    const held = this.#held.get(type) ?? [];
    while (held.length > 0 && this.#listeners.get(type)?.size) {
      const event = held[0];
      this.#tell(type, event);
      held.shift();
    }
  }
  #tell(type, event) {
    for (const listener of [...this.#listeners.get(type) ?? []]) {
      try {
        listener(event);
      } catch (error) {
        reportError(error);
      }
    }
  }
};

// src/errors.ts
var HeliographError = class extends Error {
  /** What it is about, for programs. */
  code;
  /** Whether the same may work later. */
  retry;
  /** After how many milliseconds, if that is known. */
  retryAfterMs;
  /** With `too_large`: the most bytes of a message; with `full`: the most that may wait. */
  limit;
  /** With `conflict`: the state that is there. */
  current;
  /** The close code, if the server closed the session. */
  closeCode;
  /** Makes one; the SDK does that. */
  constructor(code, text2, details = {}) {
    super(text2, details.cause === void 0 ? void 0 : { cause: details.cause });
    this.name = "HeliographError";
    this.code = code;
    this.retry = details.retry ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.limit = details.limit;
    this.current = details.current;
    this.closeCode = details.closeCode;
  }
  /** What is wrong and what to do: the same as `message`. */
  get text() {
    return this.message;
  }
};
function refusal(frame) {
  return new HeliographError(frame.code, frame.text, {
    retry: frame.retry,
    retryAfterMs: frame.retry_after_ms,
    current: frame.state
  });
}
var CLOSES = {
  1e3: "You have left the room.",
  1009: "A frame was larger than the server takes: send less at once.",
  4001: "The server closed the session: this client read too slowly.",
  4002: "The server heard nothing from this client.",
  4003: "The server is restarting.",
  4100: "The server refused too many requests of this client.",
  4101: "The seat was taken over by another connection of the same session or token.",
  4102: "The token has expired: join anew with a new one.",
  4103: "The operator of the server closed the room.",
  4104: "The room's host or the operator removed you from the room."
};
function closeText(code, text2) {
  return CLOSES[code] ?? (text2 || "There is no connection to the server.");
}

// src/endpoint.ts
var Endpoint = class {
  /** Its root, by HTTP, with a slash at the end. */
  base;
  /**
   * Reads `http:`, `https:`, `ws:` and `wss:` addresses: of the server's root, of a page there, or of
   * its WebSocket. Relative ones are read as a page's links are.
   */
  constructor(address) {
    const url = parse(address);
    const secure = { "ws:": "http:", "wss:": "https:", "http:": "http:", "https:": "https:" };
    const protocol = secure[url.protocol];
    if (!protocol) throw badUrl(String(address));
    const root = new URL(`${protocol}//${url.host}${url.pathname}`);
    root.pathname = root.pathname.replace(/v1\/ws$/, "").replace(/[^/]*\.[^/]*$/, "");
    if (!root.pathname.endsWith("/")) root.pathname += "/";
    this.base = root;
  }
  /** The WebSocket. */
  get socket() {
    const url = this.at("ws");
    return url.href.replace(/^http/, "ws");
  }
  /** A resource of the protocol, such as `send`. */
  at(path, query = {}) {
    const url = new URL(`v1/${path}`, this.base);
    for (const [name, value] of Object.entries(query))
      if (value !== void 0) url.searchParams.append(name, String(value));
    return url;
  }
  /** Whether the server answers by HTTP at all. */
  async answers() {
    try {
      const url = this.at("rooms", { limit: 1 });
      await fetch(url, {
        cache: "no-store",
        mode: "no-cors",
        signal: AbortSignal.timeout(PROBE_MS)
      });
      return true;
    } catch {
      return false;
    }
  }
  /** Asks for a resource and reads its JSON; errors of the server are thrown. */
  async ask(url, init = {}) {
    let answer;
    try {
      answer = await fetch(url, { cache: "no-store", ...init });
    } catch (cause) {
      if (init.signal?.aborted) throw new HeliographError("aborted", "You ended this request.");
      throw new HeliographError(
        "unreachable",
        `${url.origin} doesn't answer: check the address, the network, and --allow-origin there.`,
        { cause, retry: true }
      );
    }
    const said = await answer.json().catch(() => null);
    if (isError(said)) throw refusal(said);
    if (answer.ok && said !== null) return said;
    throw new HeliographError(
      "unreachable",
      `${url.origin} answered ${answer.status}, not as a Heliograph server does: check the address.`
    );
  }
};
var PROBE_MS = 4e3;
function isError(said) {
  return typeof said === "object" && said !== null && "code" in said && "text" in said;
}
function parse(address) {
  try {
    return new URL(address, globalThis.location?.href);
  } catch {
    throw badUrl(String(address));
  }
}
function badUrl(address) {
  return new HeliographError(
    "bad_url",
    `${address} is no address of a server: use one like wss://example.org or https://example.org/base/.`
  );
}

// src/channel.ts
var WAITING_BYTES_MAX = 256 * 1024;
var RELIABLE_BUFFERED_MAX = 1024 * 1024;
var LOSSY_BUFFERED_MAX = 16 * 1024;
var MESSAGE_BYTES_MAX = 64 * 1024;
var encoder = new TextEncoder();
function initOf(options) {
  const { lossy = false, ordered = !lossy, maxRetransmits, maxPacketLifeTimeMs } = options;
  if (maxRetransmits !== void 0 && maxPacketLifeTimeMs !== void 0) {
    const text2 = "A channel has maxRetransmits or maxPacketLifeTimeMs, not both: leave one out.";
    throw new HeliographError("bad_option", text2);
  }
  if (maxPacketLifeTimeMs !== void 0) return { ordered, maxPacketLifeTime: maxPacketLifeTimeMs };
  const retransmits = maxRetransmits ?? (lossy ? 0 : void 0);
  return retransmits === void 0 ? { ordered } : { ordered, maxRetransmits: retransmits };
}
var Channel = class extends Emitter {
  /** What both sides call it. */
  label;
  #init;
  #bufferedMax;
  #rtc = null;
  /** The link's limit for messages, once there is one. */
  #messageMax = () => null;
  /** Whether the other side has made its end. */
  #isAnswered = false;
  #isClosed = false;
  #waiting = [];
  #waitingBytes = 0;
  #dropped = 0;
  #onClose;
  /** Made by the SDK: see `Peer.channel`. */
  constructor(label, options, onClose) {
    super(["message"]);
    this.label = label;
    this.#init = initOf(options);
    const byKind = this.isLossy ? LOSSY_BUFFERED_MAX : RELIABLE_BUFFERED_MAX;
    this.#bufferedMax = options.bufferedMax ?? byKind;
    this.#onClose = onClose;
  }
  /** How it is made on both ends. */
  get init() {
    return this.#init;
  }
  /** Whether messages may be lost. */
  get isLossy() {
    return this.#init.maxRetransmits !== void 0 || this.#init.maxPacketLifeTime !== void 0;
  }
  /** Whether messages arrive in the order of sending. */
  get isOrdered() {
    return this.#init.ordered;
  }
  /** Whether messages reach the other side. */
  get state() {
    if (this.#isClosed) return "closed";
    return this.#isAnswered && this.#rtc?.readyState === "open" ? "open" : "connecting";
  }
  /** How many bytes wait to be sent. */
  get bufferedAmount() {
    return this.#waitingBytes + (this.#rtc?.bufferedAmount ?? 0);
  }
  /** How many messages a lossy channel has dropped before they were sent. */
  get dropped() {
    return this.#dropped;
  }
  /** The largest message, in bytes. */
  get messageBytesMax() {
    return this.#messageMax() ?? MESSAGE_BYTES_MAX;
  }
  /**
   * Sends a message. What is sent on a reliable channel that isn't open yet waits, 256 KiB at most. A
   * lossy one drops what it can't send now: then the result is `false`.
   *
   * Throws a `HeliographError`: `closed`; `too_large` with the limit; `full` if too much waits, after
   * which `drained()` says when there is room.
   */
  send(message) {
    if (this.#isClosed) throw closed();
    const bytes = typeof message === "string" ? encoder.encode(message).length : message.byteLength;
    const limit = this.messageBytesMax;
    if (bytes > limit) {
      const text2 = `The message has ${bytes} bytes, this link takes ${limit}: send it in parts.`;
      throw new HeliographError("too_large", text2, { limit });
    }
    const isOpen = this.state === "open";
    const room = isOpen ? this.#bufferedMax : WAITING_BYTES_MAX;
    const isFull = this.bufferedAmount > 0 && this.bufferedAmount + bytes > room;
    if (this.isLossy && (isFull || !isOpen)) {
      this.#dropped += 1;
      return false;
    }
    if (isFull) {
      const text2 = `More than ${room} bytes wait to be sent: await drained(), then send again.`;
      throw new HeliographError("full", text2, { limit: room, retry: true });
    }
    if (isOpen) this.#rtc?.send(message);
    else this.#keep(message, bytes);
    return true;
  }
  /** Resolves once there is room for more: less than a quarter of what may wait does. */
  drained() {
    if (this.#isClosed) return Promise.reject(closed());
    if (this.state === "open" && this.bufferedAmount <= this.#low) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const ends = [
        this.on("drained", () => settle(resolve)),
        this.on("close", () => settle(() => reject(closed())))
      ];
      const settle = (how) => {
        for (const end of ends) end();
        how();
      };
    });
  }
  /** Closes both ends. */
  close() {
    if (!this.#isClosed) this.#onClose(this);
  }
  get #low() {
    return this.#bufferedMax / 4;
  }
  /** What is sent later stays as it is now. */
  #keep(message, bytes) {
    this.#waiting.push(typeof message === "string" ? message : copy(message));
    this.#waitingBytes += bytes;
  }
  /**
   * Sends and receives by this end, as it is made with `init`.
   *
   * @internal
   */
  attach(rtc, init, messageMax) {
    this.detach();
    this.#init = init;
    this.#rtc = rtc;
    this.#messageMax = messageMax;
    rtc.binaryType = "arraybuffer";
    rtc.bufferedAmountLowThreshold = this.#low;
    rtc.onopen = () => this.#opened();
    rtc.onbufferedamountlow = () => this.emit("drained", void 0);
    rtc.onmessage = ({ data }) => this.emit("message", typeof data === "string" ? data : new Uint8Array(data));
  }
  /**
   * The other side has made its end.
   *
   * @internal
   */
  answered() {
    this.#isAnswered = true;
    this.#opened();
  }
  /**
   * Lets its end go: another one may follow.
   *
   * @internal
   */
  detach() {
    const rtc = this.#rtc;
    this.#rtc = null;
    this.#isAnswered = false;
    if (rtc) rtc.onopen = rtc.onclose = rtc.onmessage = rtc.onbufferedamountlow = null;
    return rtc;
  }
  /**
   * Takes note that it is closed.
   *
   * @internal
   */
  ended() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.detach()?.close();
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.emit("close", void 0);
  }
  #opened() {
    if (this.state !== "open") return;
    const waiting = this.#waiting.splice(0);
    this.#waitingBytes = 0;
    for (const message of waiting) this.#rtc?.send(message);
    this.emit("open", void 0);
    if (this.bufferedAmount <= this.#low) this.emit("drained", void 0);
  }
};
function copy(bytes) {
  const view = ArrayBuffer.isView(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : new Uint8Array(bytes);
  return view.slice().buffer;
}
function closed() {
  return new HeliographError(
    "closed",
    "The channel is closed: open another one with peer.channel()."
  );
}

// src/candidates.ts
var ERRORS_MAX = 4;
var TEXT_LENGTH_MAX = 120;
var Candidates = class {
  local = {};
  remote = {};
  errors = [];
  /** The outside address of each socket that a STUN server has seen. */
  #mapped = /* @__PURE__ */ new Map();
  /** Whether one socket was seen at several outside addresses. */
  varies = false;
  /** One of ours was gathered. */
  gathered(candidate) {
    count(this.local, candidate.candidate);
    const { type, relatedAddress, relatedPort, address, port } = candidate;
    if (type !== "srflx" || !relatedPort) return;
    const [socket, outside] = [`${relatedAddress} ${relatedPort}`, `${address} ${port}`];
    const before = this.#mapped.get(socket) ?? outside;
    this.varies ||= before !== outside;
    this.#mapped.set(socket, outside);
  }
  /** One of theirs has come. */
  came(candidate) {
    count(this.remote, candidate.candidate ?? "");
  }
  /** Gathering met an error. */
  failed({ url, errorCode, errorText }) {
    if (this.errors.length === ERRORS_MAX) this.errors.shift();
    const cut = (text2) => (text2 ?? "").slice(0, TEXT_LENGTH_MAX);
    this.errors.push({ url: cut(url), code: errorCode, text: cut(errorText) });
  }
};
function count(counts, candidate) {
  const type = / typ (host|srflx|prflx|relay)\b/.exec(candidate)?.[1];
  if (type) counts[type] = (counts[type] ?? 0) + 1;
}

// src/switchboard.ts
var RELIABLE_ID = 0;
var LOSSY_ID = 1;
var CONTROL_ID = 2;
var NAMED_FROM = 4;
var IDS_END = 1024;
var NAMED_MAX = 64;
var LABEL_LENGTH_MAX = 128;
var WAITING_MAX = 2 * NAMED_MAX;
var TEXT_LENGTH_MAX2 = 4096;
var LAST_MESSAGES_MS = 5e3;
var TWICE = "twice";
var Switchboard = class {
  #control;
  #isEven;
  #board;
  #lines = /* @__PURE__ */ new Map();
  #waiting = [];
  /** `isEven`: whether this side takes the even numbers. */
  constructor(control, isEven, board) {
    this.#control = control;
    this.#isEven = isEven;
    this.#board = board;
    control.onopen = () => this.#flush();
    control.onmessage = ({ data }) => this.#take(data);
  }
  /** The channel of this label: the one there is, or a new one. */
  open(label, options) {
    const there = this.#named(label);
    if (there) return there.channel;
    if (label.length === 0 || label.length > LABEL_LENGTH_MAX) {
      const text2 = `A label has 1 to ${LABEL_LENGTH_MAX} characters.`;
      throw new HeliographError("bad_option", text2);
    }
    const id = this.#freeId();
    const channel = new Channel(label, options, (closed2) => this.#close(closed2));
    const { init } = channel;
    this.#attach(channel, id, init);
    this.#lines.set(id, { id, channel, state: "asked" });
    const { ordered, maxRetransmits: max_retransmits } = init;
    const max_packet_life_time_ms = init.maxPacketLifeTime;
    this.#say({ open: { id, label, ordered, max_retransmits, max_packet_life_time_ms } });
    return channel;
  }
  /** Tells the other side where we sit now. */
  sit(seat) {
    this.#say({ seat });
  }
  /** Asks the other side to look for another path. */
  askRestart() {
    this.#say({ restart: true });
  }
  /** All channels are closed, with the link. */
  end() {
    this.#control.onopen = this.#control.onmessage = null;
    for (const { channel, timer } of this.#lines.values()) {
      clearTimeout(timer);
      channel.ended();
    }
    this.#lines.clear();
  }
  #named(label) {
    return [...this.#lines.values()].find(
      ({ channel, state }) => channel.label === label && channel.state !== "closed" && state !== "ending"
    );
  }
  #freeId() {
    let id = this.#isEven ? NAMED_FROM : NAMED_FROM + 1;
    while (this.#lines.has(id)) id += 2;
    if (id >= IDS_END || this.#lines.size >= NAMED_MAX) {
      const text2 = `A link has at most ${NAMED_MAX} channels: close one first.`;
      throw new HeliographError("too_many", text2);
    }
    return id;
  }
  #attach(channel, id, init) {
    const rtc = this.#board.make(channel.label, id, init);
    channel.attach(rtc, init, () => this.#board.messageMax());
    rtc.onclose = () => {
      channel.ended();
      if (this.#lines.get(id)?.state === "ending") this.#gone(id);
    };
  }
  #close(channel) {
    const line = [...this.#lines.values()].find((one) => one.channel === channel);
    channel.ended();
    if (!line || line.state === "closing") return;
    if (line.state === "ending") return this.#gone(line.id);
    line.state = "closing";
    this.#say({ close: line.id });
  }
  #take(data) {
    if (typeof data !== "string" || data.length > TEXT_LENGTH_MAX2) return;
    const said = parse2(data);
    if (!said) return;
    if (isOpening(said.open)) this.#opening(said.open);
    if (typeof said.opened === "number") this.#answered(said.opened);
    if (typeof said.refused === "number") this.#refused(said.refused);
    if (typeof said.close === "number") this.#closing(said.close);
    if (typeof said.closed === "number") this.#closed(said.closed);
    if (typeof said.seat === "string") this.#board.claimed(said.seat);
    if (said.restart === true) this.#board.restarts();
  }
  #opening(opening) {
    const { id, label } = opening;
    const isTheirs = id >= NAMED_FROM && id < IDS_END && id % 2 === 0 !== this.#isEven;
    if (!isTheirs || this.#lines.has(id)) return this.#say({ refused: id, text: "no free number" });
    const there = this.#named(label);
    if (there && (there.state === "open" || this.#isEven))
      return this.#say({ refused: id, text: TWICE });
    if (!there && this.#lines.size >= NAMED_MAX)
      return this.#say({ refused: id, text: "too many channels" });
    const options = optionsOf(opening);
    const channel = there?.channel ?? new Channel(label, options, (closed2) => this.#close(closed2));
    if (there) {
      this.#lines.delete(there.id);
      channel.detach()?.close();
    }
    this.#attach(channel, id, initOf(options));
    this.#lines.set(id, { id, channel, state: "open" });
    channel.answered();
    this.#say({ opened: id });
    if (!there) this.#board.opened(channel);
  }
  #answered(id) {
    const line = this.#lines.get(id);
    if (line?.state !== "asked") return;
    line.state = "open";
    line.channel.answered();
  }
  #refused(id) {
    const line = this.#lines.get(id);
    if (line?.state !== "asked") return;
    this.#lines.delete(id);
    line.channel.ended();
  }
  /** What is said of a channel may overtake what was sent over it. */
  #closing(id) {
    const line = this.#lines.get(id);
    if (line?.state !== "open" || line.channel.state === "closed") return this.#gone(id);
    line.state = "ending";
    line.timer = setTimeout(() => this.#gone(id), LAST_MESSAGES_MS);
  }
  #gone(id) {
    const line = this.#lines.get(id);
    clearTimeout(line?.timer);
    this.#lines.delete(id);
    line?.channel.ended();
    this.#say({ closed: id });
  }
  #closed(id) {
    if (this.#lines.get(id)?.state === "closing") this.#lines.delete(id);
  }
  #say(what) {
    const text2 = JSON.stringify(what);
    if (this.#control.readyState === "open") this.#control.send(text2);
    else if (this.#waiting.length < WAITING_MAX) this.#waiting.push(text2);
  }
  #flush() {
    for (const text2 of this.#waiting.splice(0)) this.#control.send(text2);
  }
};
function isOpening(value) {
  if (typeof value !== "object" || value === null) return false;
  const { id, label } = value;
  const hasLabel = typeof label === "string" && label.length <= LABEL_LENGTH_MAX;
  return hasLabel && Number.isInteger(id);
}
function optionsOf(opening) {
  const { ordered = true, max_retransmits: maxRetransmits } = opening;
  const maxPacketLifeTimeMs = opening.max_packet_life_time_ms;
  if (Number.isInteger(maxPacketLifeTimeMs))
    return { ordered, maxPacketLifeTimeMs };
  return Number.isInteger(maxRetransmits) ? { ordered, maxRetransmits } : { ordered };
}
function parse2(text2) {
  try {
    const said = JSON.parse(text2);
    return typeof said === "object" && said !== null ? said : null;
  } catch {
    return null;
  }
}

// src/stats.ts
function readPath(report) {
  const pair = selectedPair(report);
  const local = report.get(text(pair?.localCandidateId));
  const remote = report.get(text(pair?.remoteCandidateId));
  if (!pair || !local || !remote) return null;
  const relayed = local.candidateType === "relay" || remote.candidateType === "relay";
  return {
    kind: relayed ? "relayed" : "direct",
    local: text(local.candidateType),
    remote: text(remote.candidateType),
    protocol: text(local.relayProtocol) || text(local.protocol) || "udp",
    rttMs: milliseconds(pair.currentRoundTripTime)
  };
}
function readFigures(report) {
  const path = readPath(report);
  const pair = selectedPair(report);
  const checks = readChecks(report, pair ? [pair] : []);
  return {
    path,
    rttMs: path?.rttMs ?? null,
    loss: {
      media: mediaLoss(report),
      checks: checks.sent > 0 ? 1 - Math.min(1, checks.answered / checks.sent) : null
    },
    bytesSent: number(pair?.bytesSent),
    bytesReceived: number(pair?.bytesReceived)
  };
}
function readChecks(report, pairs = entries(report, "candidate-pair")) {
  const sum = (field) => pairs.reduce((total, pair) => total + number(pair[field]), 0);
  const sent = sum("requestsSent") + sum("consentRequestsSent");
  return { sent, answered: sum("responsesReceived"), heard: sum("requestsReceived") };
}
function countFound(report) {
  return entries(report, "remote-candidate").filter((one) => one.candidateType === "prflx").length;
}
function readDtls(report) {
  const state = entries(report, "transport")[0]?.dtlsState;
  return typeof state === "string" ? state : void 0;
}
function selectedPair(report) {
  const transport = entries(report, "transport").find((entry) => entry.selectedCandidatePairId);
  if (transport) return report.get(text(transport.selectedCandidatePairId));
  const pairs = entries(report, "candidate-pair");
  return pairs.find((pair) => pair.selected) ?? // Firefox
  pairs.find((pair) => pair.nominated && pair.state === "succeeded");
}
function mediaLoss(report) {
  const [ours, theirs] = [entries(report, "outbound-rtp"), entries(report, "inbound-rtp")];
  const lost2 = [...theirs, ...entries(report, "remote-inbound-rtp")];
  const sum = (of, field) => of.reduce((all, one) => all + number(one[field]), 0);
  const lostPackets = Math.max(0, sum(lost2, "packetsLost"));
  const packets = sum(ours, "packetsSent") + sum(theirs, "packetsReceived");
  return packets > 0 ? Math.min(1, lostPackets / (packets + sum(theirs, "packetsLost"))) : null;
}
function entries(report, type) {
  const found = [];
  report.forEach((entry) => entry.type === type && found.push(entry));
  return found;
}
function text(value) {
  return typeof value === "string" ? value : "";
}
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
function milliseconds(seconds) {
  return typeof seconds === "number" && Number.isFinite(seconds) ? seconds * 1e3 : null;
}

// src/link.ts
var CANDIDATES_MAX = 64;
var PATIENCE_MS = 2e3;
var POLITENESS_MS = 1e3;
var ASKED_MS = 1e3;
var HEED_PAUSE_MS = 4e3;
var RESTART_FIRST_MS = 1e3;
var RESTART_MS_MAX = 3e4;
var Link = class {
  /** What the other side knows this connection by. */
  id = random();
  /** What it calls its own; `null` until it says so. */
  remoteId = null;
  pc;
  reliable;
  lossy;
  control;
  candidates = new Candidates();
  begunAt = performance.now();
  /** Who had which role when it was made: so the numbers of channels are shared out. */
  isEven;
  /** Whether only paths by the relay are used. */
  isRelayOnly;
  state = "connecting";
  connectedInMs = null;
  restarts = 0;
  /** Whether a description of ours was sent, and one of theirs applied. */
  offered = false;
  answered = false;
  #setup;
  #roles;
  #makingOffer = false;
  #ignoringOffer = false;
  #settingAnswer = false;
  #waiting = [];
  /** What came is worked off in its order. */
  #work = Promise.resolve();
  #attempts;
  /** Whether the browser has given its channels up. */
  #isSpent = false;
  #retry;
  /** Whether this side made the first offer, and so chooses the path. */
  #chooses = null;
  /** Runs while the other side is asked to look for another path. */
  #asked;
  /** Runs while the other side isn't heeded again. */
  #heeded;
  constructor(setup) {
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
  make(label, id, init) {
    return this.pc.createDataChannel(label, { ...init, negotiated: true, id });
  }
  /** Whether messages get through, or may again in a moment. */
  get isAlive() {
    return this.state === "connected" || this.state === "interrupted";
  }
  /** The most bytes of a message; `null` before it is negotiated. */
  get messageMax() {
    const max = this.pc.sctp?.maxMessageSize;
    return max === void 0 ? null : Math.min(max, Number.MAX_SAFE_INTEGER);
  }
  /** Takes other roles: those of new seats. What was on the way to the old ones is said again. */
  seat(roles) {
    this.#roles = { ...roles };
    if (this.pc.signalingState === "have-local-offer") this.#describeSelf();
  }
  /** Takes what the other side sent through the server, in the order of its arrival. */
  handleSignal(data) {
    this.#work = this.#work.then(() => this.#handle(data)).catch((error) => this.#broken(error));
  }
  /** Takes other servers. A path by a relay moves there before the old credentials expire. */
  setIceServers(iceServers) {
    if (this.state === "closed") return;
    this.pc.setConfiguration({ ...this.pc.getConfiguration(), iceServers });
    void this.#leaveOldRelay();
  }
  /** Looks for another path. What is open stays open. */
  restart() {
    if (this.state === "closed") return;
    if (this.#isSpent) return this.#setup.spent(this.#attempts);
    this.restarts += 1;
    this.pc.restartIce();
  }
  /** The other side asks for another path; if too often, it looks for one itself. */
  handleAsked() {
    if (this.#heeded !== void 0 || this.state !== "connected") return;
    this.#heeded = setTimeout(() => this.#heeded = void 0, HEED_PAUSE_MS);
    this.restart();
  }
  /** Looks for another path, and has patience anew if there is none. */
  retry() {
    this.#attempts = 0;
    this.#stopRetry();
    this.restart();
  }
  /** Closes the connection; the other side notices at once. */
  close() {
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
  #listen() {
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
  #lose() {
    if (this.pc.connectionState === "failed") this.#isSpent = true;
    else this.close();
  }
  #gathered(candidate) {
    if (candidate) this.candidates.gathered(candidate);
    this.#signal({ candidate });
  }
  #signal(data) {
    if (!this.#setup.signal({ ...data, link: this.id }) && "description" in data)
      this.#broken(
        new Error("A description can't be sent now, or is too large: use fewer tracks.")
      );
  }
  async #offer() {
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
  #describeSelf() {
    const { localDescription } = this.pc;
    if (!localDescription) return;
    const { type, sdp } = localDescription;
    this.offered = true;
    this.#signal({ description: { type, sdp } });
  }
  async #handle({ description, candidate }) {
    if (this.state === "closed") return;
    if (description) await this.#describe(description);
    if (candidate) this.candidates.came(candidate);
    if (candidate !== void 0) await this.#addCandidate(candidate);
  }
  /** Perfect negotiation, https://www.w3.org/TR/webrtc/#perfect-negotiation-example. */
  async #describe(description) {
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
  async #addCandidate(candidate) {
    if (!this.pc.remoteDescription) {
      if (this.#waiting.length < CANDIDATES_MAX) this.#waiting.push(candidate);
      return;
    }
    try {
      await this.pc.addIceCandidate(candidate ?? void 0);
    } catch (error) {
      if (!this.#ignoringOffer) this.#broken(error);
    }
  }
  #update() {
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
  #watchPath() {
    const transport = this.pc.sctp?.transport?.iceTransport;
    if (transport) transport.onselectedcandidatepairchange = () => this.#setup.moved();
  }
  async #leaveOldRelay() {
    const report = await this.pc.getStats().catch(() => null);
    const path = report && readPath(report);
    if (path?.local !== "relay" || this.state !== "connected") return;
    if (!this.#chooses) return this.restart();
    this.#setup.askRestart();
    clearTimeout(this.#asked);
    this.#asked = setTimeout(() => this.restart(), ASKED_MS);
  }
  #restartIn(ms) {
    this.#stopRetry();
    this.#retry = setTimeout(() => {
      this.restart();
      this.#restartLater();
    }, ms);
  }
  #restartLater() {
    const pause = Math.min(RESTART_MS_MAX, RESTART_FIRST_MS * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#restartIn(pause);
  }
  #stopRetry() {
    clearTimeout(this.#retry);
  }
  #broken(error) {
    if (this.state !== "closed") this.#setup.broken(error);
  }
  #enter(state) {
    if (this.state === state) return;
    this.state = state;
    this.#setup.changed();
  }
};
function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return btoa(String.fromCharCode(...bytes));
}

// src/media.ts
var Media = class {
  #pc = null;
  #sent = /* @__PURE__ */ new Map();
  #tell;
  /** `tell` is told of tracks that come. */
  constructor(tell) {
    this.#tell = tell;
  }
  /** Sends all tracks by this connection from now on. */
  attach(pc) {
    this.#pc = pc;
    for (const [track, sent] of this.#sent) sent.sender = pc.addTrack(track, ...sent.streams);
  }
  /** Sends a track. */
  add(track, streams) {
    if (this.#sent.has(track)) return;
    const sender = this.#open()?.addTrack(track, ...streams) ?? null;
    this.#sent.set(track, { streams, sender });
  }
  /** Sends a track no more. */
  remove(track) {
    const sender = this.#sent.get(track)?.sender;
    this.#sent.delete(track);
    if (sender) this.#open()?.removeTrack(sender);
  }
  /** Sends another track in the place of one. */
  async replace(track, by) {
    const sent = this.#sent.get(track);
    if (!sent) return this.add(by, []);
    this.#sent.delete(track);
    this.#sent.set(by, sent);
    await sent.sender?.replaceTrack(by);
  }
  /** A track has come. */
  came({ track, streams }) {
    this.#tell({ track, streams });
  }
  #open() {
    return this.#pc?.signalingState === "closed" ? null : this.#pc;
  }
};

// src/report.ts
async function reportOn(link) {
  const { pc, candidates } = link;
  const stats = await pc.getStats().catch(() => /* @__PURE__ */ new Map());
  const path = readPath(stats);
  const dtls = readDtls(stats);
  const found = countFound(stats);
  const mapping = mappingOf(candidates.varies, path);
  return {
    state: link.state,
    for_s: Math.round((performance.now() - link.begunAt) / 100) / 10,
    relay_only: link.isRelayOnly,
    offered: link.offered,
    answered: link.answered,
    local: candidates.local,
    remote: found > 0 ? { ...candidates.remote, prflx: found } : candidates.remote,
    gathered: pc.iceGatheringState === "complete",
    ...mapping && { mapping },
    checks: readChecks(stats),
    ...dtls !== void 0 && { dtls },
    errors: candidates.errors,
    ...path && { path: pathOf(path) },
    restarts: link.restarts,
    ...link.connectedInMs !== null && { connected_in_ms: Math.round(link.connectedInMs) }
  };
}
function mappingOf(varies, path) {
  if (varies) return "varies";
  return path?.local === "srflx" ? "same" : void 0;
}
function pathOf({ rttMs, ...path }) {
  return rttMs === null ? path : { ...path, rtt_ms: rttMs };
}
function withoutServer(yours) {
  return {
    verdict: "signaling_lost",
    side: "yours",
    text: "There is no connection to the signaling server, so the other side can't be asked.",
    advice: "Open links work on. Wait until the server is back, or check the network.",
    ...yours && { yours }
  };
}

// src/peer.ts
var ASIDE_MAX = 64;
var REPORT_MS = 1e3;
var UNASKABLE = ["offline", "timeout", "ended", "unknown_type"];
var Peer = class extends Emitter {
  /** The channel for messages that must arrive, in order. */
  reliable;
  /** The channel for what is soon out of date: nothing is sent twice or waited for. */
  lossy;
  #host;
  #member;
  #link = null;
  #switchboard = null;
  #media;
  #path = null;
  #aside = [];
  /** Whether it was us who closed the link. */
  #isClosed = false;
  #hasSeat = true;
  #heard = false;
  #reporting;
  #reportedAt = -Infinity;
  /** Made by the SDK: see the room's event `peer`. */
  constructor(member, host) {
    super(["channel", "track", "message"]);
    this.#member = member;
    this.#host = host;
    this.#media = new Media((track) => this.emit("track", track));
    this.reliable = this.#standard("reliable", {});
    this.lossy = this.#standard("lossy", { lossy: true });
  }
  /** The peer's id. It changes when the peer comes back on another seat (`rejoined`). */
  get id() {
    return this.#member.peer;
  }
  /** What the peer tells about itself. */
  get metadata() {
    return this.#member.metadata;
  }
  /** What its token says that it is. */
  get role() {
    return this.#member.role;
  }
  /** Whether it has no connection to the server at the moment. An open link works on. */
  get away() {
    return !this.#hasSeat || (this.#member.away ?? false);
  }
  /** Whether it has a seat in the room. Who has lost it may come back as long as the link is open. */
  get hasSeat() {
    return this.#hasSeat;
  }
  /** What has become of the link. */
  get state() {
    return this.#link?.state ?? "unlinked";
  }
  /** How the packets go; `null` while there is no path. */
  get path() {
    return this.#path;
  }
  /** Whether anything has come from it: who stays silent may be asleep. */
  get heard() {
    return this.#heard;
  }
  /** The connection itself, for what this SDK has no words for; `null` if there is none. */
  get connection() {
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
  channel(label, options = {}) {
    if (label === "reliable") return this.reliable;
    if (label === "lossy") return this.lossy;
    if (!this.#switchboard)
      throw new HeliographError("closed", "There is no link to this peer: call restart() first.");
    return this.#switchboard.open(label, options);
  }
  /** Sends a track; the peer is told of it (`track`) with these streams. */
  addTrack(track, ...streams) {
    this.#media.add(track, streams);
  }
  /** Sends the track no more. */
  removeTrack(track) {
    this.#media.remove(track);
  }
  /** Sends another track in the place of one, without new negotiation. */
  async replaceTrack(track, by) {
    await this.#media.replace(track, by);
  }
  /** Figures of the link now. */
  async stats() {
    const link = this.#link;
    const report = link && link.state !== "closed" ? await link.pc.getStats() : /* @__PURE__ */ new Map();
    const { restarts = 0, connectedInMs = null } = link ?? {};
    return { ...readFigures(report), restarts, connectedInMs };
  }
  /**
   * Why this pair is connected or not: the server's verdict, of what both sides and the relay know.
   * Without the server: the verdict `signaling_lost`.
   */
  async diagnosis() {
    const yours = await this.#report();
    try {
      return await this.#host.diagnose(this.id);
    } catch (error) {
      if (UNASKABLE.includes(error.code)) return withoutServer(yours);
      throw error;
    }
  }
  /** Looks for another path; makes a new link if there is none. What is open stays open. */
  restart() {
    if (this.#link && this.#link.state !== "closed") this.#link.retry();
    else this.#makeLink(true);
  }
  /** Closes the link. The peer stays a member of the room; `restart` makes another link. */
  close() {
    this.#isClosed = true;
    this.#link?.close();
  }
  /** @internal Whether the link works, or may again in a moment. */
  get isAlive() {
    return this.#link?.isAlive ?? false;
  }
  /** @internal What the server says of it. */
  get member() {
    return this.#member;
  }
  /** @internal Begins the first link. */
  begin() {
    this.#makeLink(false);
  }
  /** @internal Takes what came by the server. */
  handleSignal(data) {
    if (this.#isClosed || !this.#link) return;
    this.#heard = true;
    const { link: id } = data;
    const known = this.#link.remoteId;
    if (typeof id === "string" && known !== null && known !== id) return this.#handleOther(data);
    if (typeof id === "string") this.#link.remoteId = id;
    this.#link.handleSignal(data);
  }
  /** @internal Tells the peer over the link where we sit now. */
  tellSeat(seat) {
    if (this.isAlive) this.#switchboard?.sit(seat);
  }
  /** @internal It has this seat from now on, of which these signals have come before. */
  reseat(member, signals) {
    const before = this.id;
    const wasAway = this.away;
    this.#member = member;
    this.#hasSeat = true;
    if (this.isAlive) this.#link?.seat(member);
    else this.#makeLink(false);
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
  unseat(reason) {
    if (!this.#hasSeat) return;
    const wasAway = this.away;
    this.#hasSeat = false;
    if (!wasAway) this.emit("away", true);
    if (this.isAlive) this.emit("unseated", reason);
  }
  /** @internal It has lost the server, or has it again. */
  setAway(away) {
    if ((this.#member.away ?? false) === away) return;
    this.#member = { ...this.#member, away };
    this.emit("away", away);
  }
  /** @internal It tells something else about itself. */
  setMetadata(metadata) {
    this.#member = { ...this.#member, metadata };
    this.emit("metadata", metadata);
  }
  /** @internal Takes other servers. */
  setIceServers(servers) {
    this.#link?.setIceServers(servers);
  }
  /** @internal Makes the link anew if other kinds of paths are wanted than it was made for. */
  renew() {
    const link = this.#link;
    if (!link || link.state === "closed" || !this.#hasSeat) return;
    const isWanted = this.#host.rtc().iceTransportPolicy === "relay";
    if (link.isRelayOnly !== isWanted) this.#makeLink(true);
  }
  /** @internal The network has changed: looks for another path at once. */
  networkChanged() {
    if (this.#link?.isAlive || this.#link?.state === "failed") this.#link.retry();
  }
  /** @internal It is gone. */
  leave(reason) {
    this.close();
    clearTimeout(this.#reporting);
    this.reliable.ended();
    this.lossy.ended();
    this.emit("left", reason);
    this.silence();
  }
  #standard(label, options) {
    const channel = new Channel(label, options, () => this.close());
    channel.on("message", (data) => this.emit("message", { channel, data }));
    return channel;
  }
  /** A signal of another connection than the one that ours is linked to. */
  #handleOther(data) {
    if (this.state !== "connected") {
      this.#makeLink(false);
      return this.handleSignal(data);
    }
    if (this.#aside[0]?.link !== data.link) this.#aside = [];
    if (this.#aside.length < ASIDE_MAX) this.#aside.push(data);
  }
  #makeLink(begins, attempts = 0) {
    this.#dropLink();
    this.#isClosed = false;
    const { polite, offers } = this.#member;
    const roles = { polite, offers };
    const link = new Link({
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
      broken: (error) => this.emit("warning", error)
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
      restarts: () => link.handleAsked()
    });
    this.#media.attach(link.pc);
    this.emit("state", this.state);
    this.#reportSoon();
  }
  #signal(link, data) {
    return link === this.#link && this.#hasSeat && this.#host.signal(this.id, data);
  }
  /** Lets the link go without a word to anybody here. */
  #dropLink() {
    const link = this.#link;
    this.#link = null;
    this.#endChannels();
    link?.close();
  }
  #endChannels() {
    this.#switchboard?.end();
    this.#switchboard = null;
    this.reliable.detach();
    this.lossy.detach();
  }
  #changed(link) {
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
  async #moved(link) {
    const report = await link.pc.getStats().catch(() => null);
    if (report && link === this.#link && link.state !== "closed") this.#setPath(readPath(report));
  }
  #setPath(path) {
    const isSame = isSamePath(path, this.#path);
    this.#path = path;
    if (isSame) return;
    this.emit("path", path);
    this.#reportSoon();
  }
  /** Tells the server what is known of the link, but not all the time. */
  #reportSoon() {
    if (this.#reporting !== void 0) return;
    const wait = Math.max(0, this.#reportedAt + REPORT_MS - performance.now());
    this.#reporting = setTimeout(() => void this.#report(), wait);
  }
  async #report() {
    clearTimeout(this.#reporting);
    this.#reporting = void 0;
    this.#reportedAt = performance.now();
    const link = this.#link;
    if (!link) return void 0;
    const report = await reportOn(link);
    if (this.#hasSeat) this.#host.report(this.id, report);
    return report;
  }
};
function isSamePath(one, other) {
  if (!one || !other) return one === other;
  return ["kind", "local", "remote", "protocol"].every((key) => one[key] === other[key]);
}

// src/roster.ts
var SEAT_LOST = ["lost", "vanished", "slow"];
var REUNION_MS = 2e3;
var SIGNALS_MAX = 64;
var Roster = class {
  /** All of them by their last id, in the order in which they came. */
  peers = /* @__PURE__ */ new Map();
  #host;
  #peerHost;
  #newcomers = /* @__PURE__ */ new Map();
  /** Where peers have said that they sit now, as long as nobody is known to sit there. */
  #claims = /* @__PURE__ */ new Map();
  /** Why those have no seat whose links are still open. */
  #reasons = /* @__PURE__ */ new Map();
  constructor(host) {
    this.#host = host;
    const claimed = (peer, seat) => this.#claimed(peer, seat);
    const changed = (peer) => this.#changed(peer);
    this.#peerHost = { ...host, claimed, changed };
  }
  /** We have a new seat; these are the others. Open links stay. */
  welcome(self, members) {
    this.#forgetNewcomers();
    const former = [...this.peers.values()];
    for (const peer of former) this.#unseat(peer, "lost");
    for (const peer of former) peer.tellSeat(self);
    for (const member of members) this.joined(member);
    for (const peer of former) this.#settle(peer);
  }
  /** The room as it is, on the same seat as before. */
  resync(members) {
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
  joined(member) {
    const id = member.peer;
    if (this.#seated(id) || this.#newcomers.has(id)) return;
    const before = this.#claimant(id) ?? this.peers.get(id);
    if (before) return this.#reseat(before, member, []);
    if (!this.#isAnyoneMissing()) return this.#begin(member, []);
    const timer = setTimeout(() => this.#beginAfterAll(id), REUNION_MS);
    this.#newcomers.set(id, { member, signals: [], timer });
  }
  /** A member has lost its seat. Its link lives on if it may come back. */
  left(id, reason) {
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
  away(id, away) {
    const newcomer = this.#newcomers.get(id);
    if (newcomer) newcomer.member = { ...newcomer.member, away };
    this.#seated(id)?.setAway(away);
  }
  /** A member tells something else about itself. */
  metadata(id, metadata) {
    const newcomer = this.#newcomers.get(id);
    if (newcomer) newcomer.member = { ...newcomer.member, metadata };
    this.#seated(id)?.setMetadata(metadata);
  }
  /** A member has sent something by the server. */
  signal(from, data) {
    if (typeof data !== "object" || data === null) return;
    const newcomer = this.#newcomers.get(from);
    if (!newcomer) this.#seated(from)?.handleSignal(data);
    else if (newcomer.signals.length < SIGNALS_MAX) newcomer.signals.push(data);
  }
  /** We leave: all links are closed. */
  close() {
    this.#forgetNewcomers();
    for (const peer of [...this.peers.values()]) this.#remove(peer, "left");
  }
  #unseat(peer, reason) {
    this.#reasons.set(peer, reason);
    peer.unseat(reason);
  }
  #seated(id) {
    const peer = this.peers.get(id);
    return peer?.hasSeat ? peer : void 0;
  }
  #claimant(seat) {
    return [...this.#claims].find(([, claim]) => claim === seat)?.[0];
  }
  /** Whether there is an open link whose far end hasn't said where it sits now. */
  #isAnyoneMissing() {
    return [...this.peers.values()].some(
      (peer) => !peer.hasSeat && peer.isAlive && !this.#claims.has(peer)
    );
  }
  #begin(member, signals) {
    const peer = new Peer(member, this.#peerHost);
    const links = [...this.peers.values()].filter(({ state }) => state !== "unlinked").length;
    this.peers.set(peer.id, peer);
    if (links < this.#host.linksMax) peer.begin();
    this.#host.joined(peer);
    for (const signal of signals) peer.handleSignal(signal);
  }
  #beginAfterAll(id) {
    const newcomer = this.#newcomers.get(id);
    if (!newcomer) return;
    clearTimeout(newcomer.timer);
    this.#newcomers.delete(id);
    this.#begin(newcomer.member, newcomer.signals);
  }
  /** A peer says, over its link, where it sits now: only the peer itself can. */
  #claimed(peer, seat) {
    if (this.peers.get(peer.id) !== peer || peer.hasSeat && peer.id === seat) return;
    const newcomer = this.#newcomers.get(seat);
    const attempt = this.#seated(seat);
    this.#claims.set(peer, seat);
    if (newcomer) {
      clearTimeout(newcomer.timer);
      this.#newcomers.delete(seat);
      this.#reseat(peer, newcomer.member, newcomer.signals);
    } else if (attempt && attempt.state !== "connected") {
      const member = attempt.member;
      this.#remove(attempt, "replaced");
      this.#reseat(peer, member, []);
    }
  }
  #reseat(peer, member, signals) {
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
  #changed(peer) {
    if (this.peers.get(peer.id) !== peer) return;
    if (peer.hasSeat && peer.state === "closed") {
      const claimant = this.#claimant(peer.id);
      if (claimant?.isAlive) this.#claimed(claimant, peer.id);
    }
    this.#settle(peer);
  }
  /** What becomes of a peer without a seat whose link is closed. */
  #settle(peer) {
    if (peer.hasSeat || peer.isAlive) return;
    this.#remove(peer, this.#reasons.get(peer) ?? "lost");
    this.#beginIfNobodyIsMissing();
  }
  #beginIfNobodyIsMissing() {
    if (this.#isAnyoneMissing()) return;
    for (const id of [...this.#newcomers.keys()]) this.#beginAfterAll(id);
  }
  #remove(peer, reason) {
    this.#claims.delete(peer);
    this.#reasons.delete(peer);
    if (this.peers.get(peer.id) === peer) this.peers.delete(peer.id);
    peer.leave(reason);
    this.#host.left(peer, reason);
  }
  #forgetNewcomers() {
    for (const { timer } of this.#newcomers.values()) clearTimeout(timer);
    this.#newcomers.clear();
  }
};

// src/backoff.ts
var Backoff = class {
  #firstMs;
  #maxMs;
  #random;
  #attempts = 0;
  constructor({ firstMs = 500, maxMs = 15e3, random: random3 = Math.random } = {}) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random3;
  }
  /** The next pause, not shorter than `leastMs`. */
  next(leastMs = 0) {
    const longest = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#attempts, 16));
    this.#attempts += 1;
    return leastMs + Math.round(longest * this.#random());
  }
  /** Starts again with the first pause: it worked. */
  reset() {
    this.#attempts = 0;
  }
};

// src/calls.ts
var FIRST_ID = 2 ** 40;
var TIMEOUT_MS = 1e4;
var Calls = class {
  #next = FIRST_ID;
  #open = /* @__PURE__ */ new Map();
  /** A number for a question, and what its answer will be. */
  open() {
    const id = this.#next;
    this.#next += 1;
    const answer = new Promise((resolve, reject) => {
      const late = new HeliographError("timeout", "The server didn't answer: try again.", {
        retry: true
      });
      const timer = setTimeout(() => this.fail(id, late), TIMEOUT_MS);
      this.#open.set(id, { resolve, reject, timer });
    });
    return { id, answer };
  }
  /** An answer has come. */
  answer(id, frame) {
    this.#take(id)?.resolve(frame);
  }
  /** A question was refused; `false` if it is none of these. */
  fail(id, error) {
    const call = this.#take(id);
    call?.reject(error);
    return call !== void 0 || id >= FIRST_ID;
  }
  /** No answers will come. */
  failAll(error) {
    for (const id of [...this.#open.keys()]) this.fail(id, error);
  }
  #take(id) {
    const call = this.#open.get(id ?? 0);
    if (!call || id === void 0) return void 0;
    clearTimeout(call.timer);
    this.#open.delete(id);
    return call;
  }
};

// src/transport.ts
var TRANSPORTS = ["websocket", "events", "poll"];
var GIVEN_UP = 4900;
var LEFT = 1e3;

// src/connection.ts
var FINAL = [LEFT, 1002, 1007, 1009];
var NEVER_FROM = 4100;
function mayReconnect(code) {
  return code < NEVER_FROM && !FINAL.includes(code);
}

// src/frames.ts
var PRESENCE = ["joined", "left", "away", "back", "metadata", "host"];
var ROOM = [...PRESENCE, "signal", "broadcast", "state", "rules", "ice"];
function isRoomFrame(frame) {
  return ROOM.includes(frame.type);
}
function isPresence(frame) {
  return PRESENCE.includes(frame.type);
}
function readFrame(text2) {
  try {
    const frame = JSON.parse(text2);
    return typeof frame === "object" && frame !== null && "type" in frame ? frame : null;
  } catch {
    return null;
  }
}

// src/ladder.ts
var FAILURES_MAX = 2;
var BLOCKED_MS = 6e4;
var Ladder = class {
  #names;
  #rung = 0;
  #failures = 0;
  #steppedAt = 0;
  constructor(names) {
    this.#names = names;
  }
  /** The one to use. */
  get current() {
    return this.#names[this.#rung] ?? "websocket";
  }
  /** Whether it may be blocked: it has failed again and again. */
  get doubtful() {
    return this.#failures >= FAILURES_MAX && this.#names.length > 1;
  }
  /** It works. */
  worked() {
    this.#failures = 0;
  }
  /** It couldn't be opened. */
  failed() {
    this.#failures += 1;
  }
  /** Goes on to the next one, and from the last one to the first. */
  step(now) {
    this.#rung = (this.#rung + 1) % this.#names.length;
    this.#failures = 0;
    this.#steppedAt = now;
  }
  /** After a connection that worked: the first one may not be blocked any more. */
  lookUp(now) {
    if (this.#rung === 0 || now - this.#steppedAt < BLOCKED_MS) return;
    this.#rung = 0;
    this.#failures = FAILURES_MAX - 1;
  }
};

// src/numbers.ts
var ACK_EVERY = 32;
var KEPT_MAX = 1024;
var Came = class {
  #last;
  #told = 0;
  #bytes = 0;
  #bytesMax;
  /** Counts from frame `seq` on, which has come. `bytesMax` may wait to be acknowledged. */
  constructor(seq = 0, bytesMax = Infinity) {
    this.#last = seq;
    this.#bytesMax = bytesMax;
  }
  /** What a frame's number says. */
  take(seq, bytes) {
    if (seq <= this.#last) return "again";
    if (seq > this.#last + 1) return "gap";
    this.#last = seq;
    this.#bytes += bytes;
    return "next";
  }
  /** The last number, which the server is told by this. */
  tell() {
    this.#told = this.#last;
    this.#bytes = 0;
    return this.#last;
  }
  /** Whether the server doesn't know of all of them. */
  get news() {
    return this.#told < this.#last;
  }
  /** Whether so much has come that it is to be told now. */
  get urgent() {
    return this.#last - this.#told >= ACK_EVERY || this.#bytes >= this.#bytesMax / 4;
  }
};
var Kept = class {
  #acked = 0;
  #entries = [];
  /** Need not be sent again, but what came of them isn't known. */
  #spared = [];
  /** Those that the server hasn't acknowledged. */
  get frames() {
    return this.#entries.map(({ frame }) => frame);
  }
  /** Numbers a request and keeps it; `null` if too many are kept. */
  push(frame, waiter = null) {
    if (this.#entries.length >= KEPT_MAX) return null;
    const numbered = { ...frame, id: this.#acked + this.#entries.length + 1 };
    this.#entries.push({ frame: numbered, waiter });
    return numbered;
  }
  /** Takes note that the requests up to this number need not be sent again. */
  spare(id) {
    const count2 = Math.min(Math.max(0, id - this.#acked), this.#entries.length);
    this.#spared.push(...this.#entries.splice(0, count2).filter(({ waiter }) => waiter));
    this.#acked += count2;
  }
  /** Takes note that the requests up to this number were carried out: refusals came before. */
  ack(id) {
    this.spare(id);
    const isDone = ({ frame }) => frame.id <= id;
    for (const entry of this.#spared.filter(isDone)) this.#take(entry)?.resolve();
  }
  /** Takes note that a request was refused; `false` if nobody waits to know. */
  refuse(id, error) {
    const entry = this.#waiting().find(({ frame }) => frame.id === id);
    this.#take(entry)?.reject(error);
    return entry !== void 0;
  }
  /** Nothing more will be heard of any of them. */
  fail(error) {
    for (const entry of this.#waiting()) this.#take(entry)?.reject(error);
    this.#entries = [];
  }
  #waiting() {
    return [...this.#spared, ...this.#entries].filter(({ waiter }) => waiter);
  }
  #take(entry) {
    if (!entry) return null;
    const { waiter } = entry;
    entry.waiter = null;
    this.#spared = this.#spared.filter((other) => other !== entry);
    return waiter;
  }
};

// src/token.ts
var RENEW_AT = 0.75;
var AGAIN_MS = 5e3;
var TIMER_MS_MAX = 2 ** 31 - 1;
var TokenKeeper = class {
  /** The one that was given last. */
  last;
  #source;
  #server;
  #timer;
  /** Whether the session may not know the last one: the server hasn't answered yet. */
  #isUnanswered = false;
  constructor(source, server) {
    this.#server = server;
    this.#source = source;
    if (typeof source === "string") this.last = source;
  }
  /** Whether somebody is to be asked for it each time. */
  get mustAsk() {
    return typeof this.#source === "function";
  }
  /** Asks for a token. */
  async ask() {
    if (typeof this.#source !== "function") return this.#source;
    try {
      this.last = await this.#source();
    } catch (cause) {
      throw new HeliographError("unauthorized", `The token couldn't be had: ${String(cause)}`, {
        cause,
        retry: true
      });
    }
    return this.last;
  }
  /** The server has taken the last one, for so many seconds if it expires. */
  shown(forS) {
    this.#isUnanswered = false;
    clearTimeout(this.#timer);
    if (forS !== void 0 && this.mustAsk) this.#renewIn(forS * 1e3 * RENEW_AT);
  }
  /**
   * Takes another source, and shows its token at once if there is a server to see it: else when the
   * session goes on.
   */
  async replace(source, isOnline) {
    this.#source = source;
    this.last = await this.ask();
    this.#isUnanswered = this.last !== void 0;
    if (isOnline) await this.#show();
  }
  /** The session goes on: shows what the server may not know yet. */
  resumed() {
    this.#show().catch((error) => this.#server.failed(error));
  }
  /** Nothing more is to be done. */
  stop() {
    clearTimeout(this.#timer);
  }
  async #show() {
    const token = this.last;
    if (!this.#isUnanswered || token === void 0) return;
    try {
      const { expires_in_s } = await this.#server.show(token);
      if (token === this.last) this.shown(expires_in_s);
    } catch (error) {
      if (error.code === "offline") return;
      if (token === this.last) this.#isUnanswered = false;
      throw error;
    }
  }
  #renewIn(ms) {
    this.#timer = setTimeout(() => void this.#renew(), Math.min(ms, TIMER_MS_MAX));
  }
  async #renew() {
    try {
      const token = await this.ask();
      if (token !== void 0) this.shown((await this.#server.show(token)).expires_in_s);
    } catch (error) {
      const known = error;
      if (known.code === "ended") return;
      if (known.code !== "offline") this.#server.failed(known);
      this.#renewIn(AGAIN_MS);
    }
  }
};

// src/transports/http.ts
var FRAMES_MAX = 64;
var BYTES_MAX = 256 * 1024;
var KEEPALIVE_BYTES_MAX = 60 * 1024;
var BUSY_MS = 1e3;
var BROKEN = 1006;
var HttpTransport = class {
  carried;
  #queue = [];
  #sending = false;
  #ending = new AbortController();
  /** Ends the listening that there is: another one follows. */
  #listening = new AbortController();
  constructor(carried) {
    this.carried = carried;
    queueMicrotask(() => this.isOpen && carried.opened());
  }
  send(frame) {
    if (frame.type === "hello") {
      this.#listening.abort();
      void this.#hello(frame);
    } else if (frame.type === "resume") {
      this.#listen();
    } else {
      this.#queue.push(JSON.stringify(frame));
      if (!this.#sending) void this.#flush();
    }
  }
  close() {
    this.#ending.abort();
    this.#listening.abort();
  }
  leave(frames) {
    const cursor = this.carried.cursor();
    const texts = [...this.#queue, ...frames.map((frame) => JSON.stringify(frame))];
    this.close();
    if (cursor) sayGoodbye(this.carried, cursor, texts);
  }
  /** Whether it hasn't been closed. */
  get isOpen() {
    return !this.#ending.signal.aborted;
  }
  /** Asks for the session's frames. */
  async ask(path, signal, query = {}) {
    const { session, key, ...rest } = this.carried.cursor() ?? never();
    const url = this.carried.endpoint.at(path, { session, ...rest, ...query });
    return fetch(url, { headers: { authorization: `Bearer ${key}` }, cache: "no-store", signal });
  }
  /** Passes the frames of an answer on, or some of them; whether it was a list of frames. */
  async take(answer, signal, isWanted = () => true) {
    const said = await answer.json();
    const frames = Array.isArray(said) ? said : isError(said) ? [said] : null;
    if (frames === null) throw new Error(`the answer was ${answer.status}`);
    for (const frame of frames.filter(isWanted)) {
      if (signal.aborted) break;
      this.carried.received(JSON.stringify(frame));
    }
    return Array.isArray(said);
  }
  #listen() {
    this.#listening.abort();
    const listening = new AbortController();
    this.#listening = listening;
    this.receive(listening.signal).then(
      () => listening.signal.aborted || this.#broke(""),
      (error) => listening.signal.aborted || this.#broke(String(error))
    );
  }
  async #hello(hello) {
    const { signal } = this.#ending;
    try {
      const answer = await this.#post(JSON.stringify(hello), null);
      await this.take(answer, signal);
      if (this.isOpen && this.carried.cursor()) this.#listen();
    } catch (error) {
      this.#broke(String(error));
    }
  }
  async #flush() {
    this.#sending = true;
    try {
      while (this.#queue.length > 0 && this.isOpen) {
        const cursor = this.carried.cursor();
        if (!cursor) break;
        await this.#sendSome(cursor);
      }
    } catch (error) {
      this.#broke(String(error));
    } finally {
      this.#sending = false;
    }
  }
  async #sendSome(cursor) {
    const texts = chunk(this.#queue);
    const answer = await this.#post(`[${texts.join(",")}]`, cursor);
    if (answer.status === 429 || answer.status === 503) {
      const frame = readFrame(await answer.text());
      const waitMs = frame?.type === "error" && frame.retry_after_ms || BUSY_MS;
      await new Promise((resume) => setTimeout(resume, waitMs));
      return;
    }
    this.#queue.splice(0, texts.length);
    const { signal } = this.#ending;
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    await this.take(answer, signal, (frame) => frame.type !== "ack");
  }
  async #post(body, cursor) {
    const url = this.carried.endpoint.at("send", { session: cursor?.session });
    const headers = { "content-type": "application/json" };
    if (cursor) headers.authorization = `Bearer ${cursor.key}`;
    const { signal } = this.#ending;
    return fetch(url, { method: "POST", headers, body, signal, cache: "no-store" });
  }
  #broke(text2) {
    if (this.isOpen) this.carried.closed(BROKEN, text2);
  }
};
function sayGoodbye(carried, cursor, texts) {
  const { session, key } = cursor;
  const kept = texts.slice(-FRAMES_MAX);
  while (kept.length > 1 && size(kept) > KEEPALIVE_BYTES_MAX) kept.shift();
  const body = `[${kept.join(",")}]`;
  const url = carried.endpoint.at("send", { session, key });
  if (globalThis.navigator?.sendBeacon?.(url, body)) return;
  fetch(url, { method: "POST", body, keepalive: true }).catch(() => {
  });
}
function chunk(texts) {
  const some = texts.slice(0, FRAMES_MAX);
  while (some.length > 1 && size(some) > BYTES_MAX) some.pop();
  return some;
}
function size(texts) {
  return texts.reduce((sum, text2) => sum + 3 * text2.length + 1, 2);
}
function never() {
  throw new Error("a session is listened to that isn't there");
}

// src/transports/events.ts
var EVENT_LENGTH_MAX = 1024 * 1024;
var EventsTransport = class extends HttpTransport {
  name = "events";
  quietMs = 0;
  acknowledges = false;
  constructor(carried) {
    super(carried);
  }
  async receive(signal) {
    const answer = await this.ask("events", signal);
    const type = answer.headers.get("content-type") ?? "";
    if (!answer.ok || !answer.body || !type.startsWith("text/event-stream")) {
      await this.take(answer, signal);
      return;
    }
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    const events = new EventReader();
    for (; ; ) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      for (const data of events.read(decoder.decode(value, { stream: true }))) {
        if (signal.aborted) return;
        this.carried.received(data);
      }
    }
  }
};
var EventReader = class {
  #text = "";
  /** The data of the events that are complete with this piece. */
  read(piece) {
    this.#text += piece;
    const blocks = this.#text.split("\n\n");
    this.#text = blocks.pop() ?? "";
    if (this.#text.length > EVENT_LENGTH_MAX) throw new Error("an event is too long");
    return blocks.map(dataOf).filter((data) => data !== "");
  }
};
function dataOf(block) {
  const lines = block.split("\n").filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}

// src/transports/poll.ts
var WAIT_S = 25;
var PollTransport = class extends HttpTransport {
  name = "poll";
  quietMs = WAIT_S * 1e3;
  acknowledges = true;
  constructor(carried) {
    super(carried);
  }
  async receive(signal) {
    while (!signal.aborted) {
      const answer = await this.ask("poll", signal, { wait_s: WAIT_S });
      if (!await this.take(answer, signal) && !signal.aborted) return;
    }
  }
};

// src/transports/socket.ts
var SUBPROTOCOL = "heliograph.v1";
var OPEN = 1;
var SocketTransport = class {
  name = "websocket";
  quietMs = 0;
  acknowledges = false;
  #socket;
  constructor(carried) {
    const socket = new WebSocket(carried.endpoint.socket, SUBPROTOCOL);
    socket.onopen = () => carried.opened();
    socket.onmessage = ({ data }) => carried.received(String(data));
    socket.onclose = ({ code, reason }) => carried.closed(code, reason);
    this.#socket = socket;
  }
  send(frame) {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(frame));
  }
  close(code = GIVEN_UP) {
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }
  leave(frames) {
    for (const frame of frames) this.send(frame);
    this.close(LEFT);
  }
};

// src/transports/open.ts
function openTransport(name, carried) {
  switch (name) {
    case "websocket":
      return new SocketTransport(carried);
    case "events":
      return new EventsTransport(carried);
    case "poll":
      return new PollTransport(carried);
  }
}

// src/session.ts
var ANSWER_TIMEOUT_MS = 1e4;
var ACK_DELAY_MS = 1e3;
var STABLE_MS = 1e4;
var NETWORK_MS = 3e3;
var PAUSE_MS_MAX = 36e5;
var FRAME_BYTES_MAX = 65536;
var NUMBERS_BYTES = 64;
var EXPIRED = 4102;
var LOST_TRACK = ["hello_first", "out_of_order"];
var NOBODYS_FAULT = ["no_such_peer", "undelivered"];
var Session = class extends Emitter {
  /** What there is to say about the connection. */
  connection = { name: "connecting" };
  /** The seat; `null` if there is none. */
  seat = null;
  /** What the others are told when the next seat is asked for. */
  metadata;
  /** Whether the server takes reports of links. */
  takesReports = true;
  /** The last broadcast that has come, where the room keeps them. */
  after;
  #options;
  /** Where the server is, and where it was at first if it has sent us elsewhere. */
  #endpoints;
  #open;
  #backoff;
  #ladder;
  #token;
  #calls = new Calls();
  #came = new Came();
  #kept = new Kept();
  #transport = null;
  /** Counts the attempts to connect, so that an old one changes nothing. */
  #turn = 0;
  /** By what the next seat is asked for, however often. */
  #once = random2();
  /** How often it has asked for a session again. */
  #attempt = 0;
  #timers = /* @__PURE__ */ new Map();
  /** A session that does nothing until `start`. */
  constructor(options) {
    super();
    this.#options = options;
    this.#endpoints = [options.endpoint];
    this.metadata = options.metadata;
    this.after = options.after;
    this.#open = options.open ?? openTransport;
    this.#backoff = options.backoff ?? new Backoff();
    this.#ladder = new Ladder(options.transports ?? TRANSPORTS);
    this.#token = new TokenKeeper(options.token, {
      show: (token) => this.call({ type: "token", token }),
      failed: (error) => this.emit("refused", error)
    });
  }
  /** Where the server is. */
  get endpoint() {
    return this.#endpoints[0] ?? this.#options.endpoint;
  }
  /** Whether requests reach the server at once. */
  get isOnline() {
    return this.connection.name === "online";
  }
  /** Whether it is over. */
  get isEnded() {
    return this.connection.name === "ended";
  }
  /** Opens the connection; also after it has ended, for another seat. */
  start() {
    globalThis.addEventListener?.("online", this.#networkChanged);
    navigatorConnection()?.addEventListener?.("change", this.#networkChanged);
    void this.#connect();
  }
  /**
   * Sends a numbered request, now or once there is a connection again; `false` if it will not be
   * sent. Nobody is told what becomes of it.
   */
  post(frame) {
    if (!this.seat || this.isEnded || !this.#fits(frame)) return false;
    const numbered = this.#kept.push(frame);
    if (numbered && this.isOnline) this.#send(numbered);
    return numbered !== null;
  }
  /** The same, but resolves once the server has carried it out. */
  request(frame) {
    return new Promise((resolve, reject) => {
      if (!this.seat || this.isEnded) return reject(this.#offline());
      if (!this.#fits(frame)) return reject(this.#tooLarge());
      const numbered = this.#kept.push(frame, { resolve, reject });
      if (!numbered)
        return reject(
          new HeliographError("full", "Too many requests wait for the server: wait for some.")
        );
      if (this.isOnline) this.#send(numbered);
    });
  }
  /** Whether the server takes a frame of this size: a larger one would end the session. */
  #fits(frame) {
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
    return bytes + NUMBERS_BYTES <= this.#frameMax;
  }
  get #frameMax() {
    return this.seat?.limits?.frame_bytes_max ?? FRAME_BYTES_MAX;
  }
  #tooLarge() {
    const limit = this.#frameMax;
    const text2 = `The server takes ${limit} bytes at once: send less, or over a channel.`;
    return new HeliographError("too_large", text2, { limit });
  }
  /** Asks something that has an answer of its own; there must be a connection. */
  call(frame) {
    if (!this.isOnline) return Promise.reject(this.#offline());
    const { id, answer } = this.#calls.open();
    this.#send({ ...frame, id });
    return answer;
  }
  /** Tells something that isn't worth keeping; `false` if there is no connection. */
  tell(frame) {
    if (this.isOnline) this.#send(frame);
    return this.isOnline;
  }
  /** Shows this token from now on; resolves once the server has taken it, at once if offline. */
  setToken(source) {
    return this.#token.replace(source, this.isOnline);
  }
  /** Ends a pause before a reconnect. */
  retryNow() {
    if (this.connection.name === "waiting") void this.#connect();
  }
  /** Gives the seat back, even if the page ends now. Nothing happens afterwards. */
  close() {
    this.#leave();
    this.#end(LEFT, closeText(LEFT, ""), null);
  }
  #leave() {
    const news = this.#came.news ? { ack: this.#came.tell() } : {};
    const leave = { type: "leave", ...news };
    const cursor = this.#cursor();
    if (this.isOnline) {
      this.#transport?.leave([leave]);
      this.#transport = null;
    } else if (cursor && !this.isEnded) {
      sayGoodbye({ endpoint: this.endpoint }, cursor, [JSON.stringify(leave)]);
    }
  }
  async #connect() {
    this.#drop(GIVEN_UP);
    this.#enter({ name: "connecting" });
    this.#turn += 1;
    const turn = this.#turn;
    this.#await();
    if (!this.seat && this.#token.mustAsk) {
      const token = await this.#token.ask().catch((error) => error);
      if (turn !== this.#turn) return;
      if (token instanceof HeliographError) return this.#wait(0, token.text, token);
    }
    if (this.#ladder.doubtful) {
      const answers = await this.endpoint.answers();
      if (turn !== this.#turn) return;
      if (answers) this.#ladder.step(Date.now());
    }
    this.#await();
    this.#transport = this.#open(this.#ladder.current, this.#carried(turn));
  }
  #carried(turn) {
    const current = () => turn === this.#turn;
    return {
      endpoint: this.endpoint,
      cursor: () => this.#cursor(),
      opened: () => current() && this.#ask(),
      received: (text2) => {
        if (current()) this.#receive(text2);
      },
      closed: (code, text2) => {
        if (current()) this.#lost(code, text2);
      }
    };
  }
  #cursor() {
    if (!this.seat) return null;
    const { session, key } = this.seat;
    return { session, key, seq: this.#came.tell(), attempt: this.#attempt };
  }
  /** Asks for the session, or for a seat if there is none. */
  #ask() {
    if (this.seat) {
      this.#attempt += 1;
      this.#transport?.send({ type: "resume", ...this.#cursor() });
      return;
    }
    const { room, password, create } = this.#options;
    const { metadata, after } = this;
    const once = this.#once;
    const token = this.#token.last;
    const hello = { type: "hello", room, token, metadata, once, create, password, after };
    this.#transport?.send(hello);
  }
  #await() {
    this.#set("answer", ANSWER_TIMEOUT_MS, () => this.#lost(0, ""));
  }
  #receive(text2) {
    const frame = readFrame(text2);
    if (!frame) return;
    this.#heard();
    if (!this.isOnline) this.#answered(frame);
    else if (frame.type === "resync") this.#resync(frame);
    else this.#take(frame, text2.length);
  }
  #take(frame, length) {
    if (frame.type === "close") return this.#lost(frame.code, frame.text);
    const isNew = this.#takes(frame, length);
    if (isNew && frame.type === "error" && this.#refused(frame)) return this.#lost(0, "");
    if (typeof frame.ack === "number" && frame.type !== "resumed") this.#kept.ack(frame.ack);
    if (isNew) this.#pass(frame);
  }
  #pass(frame) {
    if (frame.type === "presence") {
      const known = frame.changes.filter((change) => isRoomFrame(change) && isPresence(change));
      for (const change of known) this.emit("frame", change);
    } else if (isRoomFrame(frame)) {
      if (frame.type === "broadcast") this.after = frame.event ?? this.after;
      this.emit("frame", frame);
    } else if (frame.type === "token" || frame.type === "pong" || frame.type === "diagnosis") {
      this.#calls.answer(frame.id, frame);
    } else if (frame.type === "goaway" && frame.url) {
      this.#move(frame.url, frame.deadline_s);
    }
  }
  /** Tells who wants to know of a refusal; whether the server has lost track of us. */
  #refused(frame) {
    const error = refusal(frame);
    if (frame.id !== void 0 && this.#calls.fail(frame.id, error)) return false;
    if (LOST_TRACK.includes(frame.code)) return true;
    if (frame.code === "unknown_type" && frame.id === void 0) this.takesReports = false;
    else if (frame.id !== void 0 && this.#kept.refuse(frame.id, error)) return false;
    else if (!NOBODYS_FAULT.includes(frame.code)) this.emit("refused", error);
    return false;
  }
  /** Whether a frame hasn't come before. A gap can only be mended by a resume. */
  #takes({ seq }, length) {
    if (typeof seq !== "number") return true;
    const turn = this.#came.take(seq, length);
    if (turn === "gap") this.#lost(0, "");
    if (turn !== "next") return false;
    if (this.#transport?.acknowledges) return true;
    if (this.#came.urgent) this.#ack();
    else this.#ackLater();
    return true;
  }
  /** The answer to `hello` or `resume`. */
  #answered(frame) {
    switch (frame.type) {
      case "welcome":
        this.#forget();
        this.#once = random2();
        this.#seatAs(frame);
        this.#token.shown(frame.token_ttl_s);
        this.emit("welcome", frame);
        return;
      case "resync":
        return this.#resync(frame);
      case "resumed":
        this.#online();
        this.#kept.spare(frame.ack);
        return this.#goOn();
      case "error":
        return this.#refusedEntry(frame);
      case "close":
        return this.#lost(frame.code, frame.text);
      default:
    }
  }
  #seatAs(frame) {
    this.seat = frame;
    this.#came = new Came(frame.seq ?? 0, frame.limits?.unacked_bytes_max);
    this.#online();
  }
  #resync(frame) {
    this.#seatAs({ ...frame, key: frame.key ?? this.seat?.key });
    this.emit("resync", frame);
    this.#kept.ack(frame.ack ?? 0);
    this.#goOn();
  }
  #refusedEntry(frame) {
    if (frame.code === "no_such_session" && this.seat) {
      this.#forget();
      if (this.#token.mustAsk) return void this.#connect();
      this.#await();
      return this.#ask();
    }
    const error = refusal(frame);
    const pause = Math.min(frame.retry_after_ms ?? 0, PAUSE_MS_MAX);
    if (frame.retry) this.#wait(0, frame.text, error, pause);
    else this.#end(0, frame.text, error);
  }
  #online() {
    this.#clear("answer");
    this.#ladder.worked();
    this.#set("stable", STABLE_MS, () => this.#backoff.reset());
    const transport = this.#ladder.current;
    this.#enter({ name: "online", transport });
    if (this.#came.news && !this.#transport?.acknowledges) this.#ackLater();
    this.#heard();
  }
  /** The session goes on: sends what the server may not have. */
  #goOn() {
    for (const frame of this.#kept.frames) this.#send(frame);
    this.#token.resumed();
  }
  /**
   * Any frame shows that the server lives; after a silence we ask, and after a longer one it is
   * gone. What we ask also shows the server that we live, where it can't ask us.
   */
  #heard() {
    this.#clear("liveness");
    if (!this.isOnline || !this.seat) return;
    const { interval_s, timeout_s } = this.seat.heartbeat;
    const quietMs = interval_s * 1e3 + (this.#transport?.quietMs ?? 0);
    this.#set("liveness", quietMs, () => this.#probe((timeout_s - interval_s) * 1e3));
  }
  /** Asks the server for a sign of life. */
  #probe(patienceMs) {
    this.#send({ type: "ping" });
    this.#set("liveness", patienceMs, () => this.#lost(0, ""));
  }
  #networkChanged = () => {
    this.retryNow();
    if (this.isOnline) this.#probe(NETWORK_MS);
    this.emit("network", void 0);
  };
  /** Goes to another server within the time, at a random moment: the others go there too. */
  #move(address, deadline_s) {
    let endpoint;
    try {
      endpoint = new Endpoint(address);
    } catch (error) {
      return this.emit("refused", error);
    }
    this.#set("move", Math.random() * deadline_s * 500, () => {
      this.#endpoints = [endpoint, this.#options.endpoint];
      void this.#connect();
    });
  }
  #ackLater() {
    if (!this.#timers.has("ack")) this.#set("ack", ACK_DELAY_MS, () => this.#ack());
  }
  #ack() {
    if (this.#came.news) this.#send({ type: "ack" });
  }
  #lost(code, text2) {
    if (!this.isOnline) this.#ladder.failed();
    else this.#ladder.lookUp(Date.now());
    if (!this.isOnline && this.#endpoints.length > 1) this.#endpoints.reverse();
    if (code === EXPIRED && this.#token.mustAsk) this.#forget();
    else if (!mayReconnect(code)) return this.#endWith(code, text2);
    this.#wait(code, text2);
  }
  #endWith(code, text2) {
    const sentence = closeText(code, text2);
    this.#end(code, sentence, new HeliographError("ended", sentence, { closeCode: code }));
  }
  #wait(code, text2, error = null, leastMs = 0) {
    this.#drop(GIVEN_UP);
    const inMs = this.#backoff.next(leastMs);
    this.#set("retry", inMs, () => void this.#connect());
    this.#enter({ name: "waiting", code, inMs, text: closeText(code, text2), error });
  }
  #end(code, text2, error) {
    if (this.isEnded) return;
    globalThis.removeEventListener?.("online", this.#networkChanged);
    navigatorConnection()?.removeEventListener?.("change", this.#networkChanged);
    this.connection = { name: "ended", code, text: text2, error };
    this.#drop(LEFT);
    this.#forget(this.#offline());
    this.#token.stop();
    this.emit("connection", this.connection);
  }
  /** Lets the connection go. Unless the code says that we leave, the session goes on without. */
  #drop(code) {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#calls.failAll(this.#offline());
    this.#turn += 1;
    const transport = this.#transport;
    this.#transport = null;
    transport?.close(code);
  }
  /** There is no session: the next connection asks for a seat. Requests are over for this reason. */
  #forget(reason = lost()) {
    this.#kept.fail(reason);
    this.seat = null;
    this.#attempt = 0;
    this.#came = new Came();
    this.#kept = new Kept();
  }
  /** Sends a frame, and with it what has come. */
  #send(frame) {
    if (this.#came.news) {
      frame = { ...frame, ack: this.#came.tell() };
      this.#clear("ack");
    }
    this.#transport?.send(frame);
  }
  #offline() {
    if (this.connection.name === "ended")
      return new HeliographError("ended", this.connection.text || "You have left the room.");
    return new HeliographError(
      "offline",
      "There is no connection to the server: wait until it is back.",
      {
        retry: true
      }
    );
  }
  #set(name, ms, then) {
    this.#clear(name);
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      then();
    }, ms);
    this.#timers.set(name, timer);
  }
  #clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
  #enter(connection) {
    this.connection = connection;
    this.emit("connection", connection);
  }
};
function lost() {
  const text2 = "The session ended before the server confirmed this: do it again.";
  return new HeliographError("lost", text2, { retry: true });
}
function random2() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
function navigatorConnection() {
  return globalThis.navigator?.connection;
}

// src/room.ts
var LINKS_MAX = 32;
var NO_STATE = { version: 0, value: null, by: null };
var Room = class extends Emitter {
  /** The room's id. */
  id;
  /** Resolves once this client has a seat; rejects if it won't get one. */
  joined;
  #options;
  #session;
  #roster;
  #iceServers = [];
  #certificates = [];
  #metadata;
  #relayOnly;
  #state = NO_STATE;
  #host = null;
  #term = null;
  #rules = null;
  #self = null;
  /** Whether the page is gone, perhaps to come back from the browser's memory. */
  #isHidden = false;
  /**
   * Begins to join; see `joined` and the event `connection` for how it goes on.
   *
   * Throws a `HeliographError`, `bad_url`.
   */
  constructor(url, id, options = {}) {
    super(["peer", "broadcast"]);
    this.id = id;
    this.#options = options;
    this.#metadata = options.metadata ?? {};
    this.#relayOnly = options.relayOnly ?? false;
    const { metadata, token, password, create, after, transports, open } = options;
    const endpoint = new Endpoint(url);
    this.#session = new Session({
      ...{ endpoint, room: id, metadata, token, password, create, after, transports, open }
    });
    this.#roster = new Roster(this.#rosterHost());
    this.#listen();
    this.joined = this.#whenJoined(options.signal);
    this.joined.catch(() => {
    });
    globalThis.addEventListener?.("pagehide", this.#hide);
    globalThis.addEventListener?.("pageshow", this.#show);
    void this.#start();
  }
  /** This client's own id in the room; `null` before the first seat. */
  get peerId() {
    return this.#self;
  }
  /** What this client's token says that it is. */
  get role() {
    return this.#session.seat?.role;
  }
  /** Everybody else, by id, in the order in which they came. */
  get peers() {
    return this.#roster.peers;
  }
  /** What the others are told about this peer. */
  get metadata() {
    return this.#metadata;
  }
  /** The state that the room keeps. */
  get state() {
    return this.#state;
  }
  /** The peer id of the room's host; `null` if there is none. */
  get host() {
    return this.#host;
  }
  /** How often the room got a host; `null` if it has none. */
  get term() {
    return this.#term;
  }
  /** Whether this client is the host. */
  get isHost() {
    return this.#host !== null && this.#host === this.#self;
  }
  /** The room's rules; `null` if it has none. */
  get rules() {
    return this.#rules;
  }
  /** What there is to say about the connection to the server. */
  get connection() {
    return this.#session.connection;
  }
  /** Whether only paths by the relay are used. */
  get relayOnly() {
    return this.#relayOnly;
  }
  /**
   * Says something to all, oneself included, by the server; or only to some others, or to those with
   * a role. Resolves once the server has sent it; whether it arrived nobody is told.
   */
  broadcast(data, { to, role } = {}) {
    return this.#session.request({ type: "broadcast", data, peers: to, role });
  }
  /**
   * Sets the state that the room keeps, and resolves with it. With `ifVersion` only if it still has
   * that version (0: it was never set): else it rejects with `conflict`, whose `current` is the one
   * there is.
   */
  async setState(value, { ifVersion } = {}) {
    await this.#session.request({ type: "state", value, if_version: ifVersion });
    return this.#state;
  }
  /** Tells the others something else about this peer. */
  async setMetadata(metadata) {
    const before = this.#metadata;
    this.#keepMetadata(metadata);
    if (!this.#session.seat && !this.#session.isEnded) return;
    try {
      await this.#session.request({ type: "metadata", metadata });
    } catch (error) {
      if (error.code === "bad_metadata" && this.#metadata === metadata)
        this.#keepMetadata(before);
      throw error;
    }
  }
  /**
   * Uses only paths by the relay from now on, or any again. Open links are made anew for it, as soon as
   * there is a connection to the server: `reliable` and `lossy` go on over the new ones, named channels
   * are closed, and what is on the way is lost.
   */
  setRelayOnly(relayOnly) {
    this.#relayOnly = relayOnly;
    if (this.#session.isOnline) this.#renewLinks();
  }
  /** Changes the room's rules, as its host. */
  setRules(rules) {
    return this.#asHost({ type: "rules", rules });
  }
  /** Makes another member the host, as the host. */
  handOver(to) {
    return this.#asHost({ type: "host", to });
  }
  /** Removes a member, as the host. With `ban` it can't come back. */
  kick(peer, { ban = false } = {}) {
    return this.#asHost({ type: "kick", peer, ban });
  }
  /**
   * Shows this token from now on; resolves once the server has taken it. Without a connection it does so at
   * once, and the token is shown on the next one.
   */
  setToken(token) {
    return this.#session.setToken(token);
  }
  /** What was said behind a number, where the room keeps broadcasts; `limit` of them at most. */
  history({ after, limit } = {}) {
    const { seat, endpoint } = this.#session;
    if (!seat) return Promise.reject(new HeliographError("offline", "There is no seat yet."));
    const path = `rooms/${encodeURIComponent(this.id)}/events`;
    const url = endpoint.at(path, { session: seat.session, after, limit });
    return endpoint.ask(url, { headers: { authorization: `Bearer ${seat.key}` } });
  }
  /** Ends a pause before the next attempt to reach the server. */
  retryNow() {
    this.#session.retryNow();
  }
  /** Leaves the room and closes every link. */
  close() {
    this.#unlisten();
    if (!this.#session.isEnded) {
      this.#session.close();
      this.#roster.close();
      this.emit("ended", null);
    }
    this.silence();
  }
  #unlisten() {
    globalThis.removeEventListener?.("pagehide", this.#hide);
    globalThis.removeEventListener?.("pageshow", this.#show);
  }
  /** All links show one certificate; without one each makes its own. */
  async #start() {
    const kind = { name: "ECDSA", namedCurve: "P-256" };
    const made = globalThis.RTCPeerConnection?.generateCertificate?.(kind);
    const certificate = await made?.catch(() => null);
    if (certificate) this.#certificates = [certificate];
    if (!this.#session.isEnded) this.#session.start();
  }
  #listen() {
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
  #whenJoined(signal) {
    return new Promise((resolve, reject) => {
      const abort = () => {
        const text2 = "You ended the attempt to join, or it took too long.";
        reject(new HeliographError("aborted", text2, { cause: signal?.reason }));
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
  #connectionChanged(connection) {
    this.emit("connection", connection);
    if (connection.name === "online") queueMicrotask(() => this.#renewLinks());
    if (connection.name !== "ended" || connection.error === null) return;
    this.#unlisten();
    this.#roster.close();
    this.emit("ended", connection.error);
  }
  #welcome(frame) {
    const before = this.#self;
    this.#self = frame.peer;
    this.#ice(frame.ice_servers ?? []);
    this.#learn(frame);
    this.#roster.welcome(frame.peer, frame.members);
    this.#hearAbout(frame);
    if (before !== null && before !== frame.peer) this.emit("rejoined", { peer: null, before });
  }
  #renewLinks() {
    for (const peer of this.peers.values()) peer.renew();
  }
  #resync(frame) {
    this.#learn(frame);
    this.#roster.resync(frame.members);
    this.#hearAbout(frame);
  }
  /** What else there is to know of the room. */
  #learn({ about = {} }) {
    this.#rules = about.rules ?? null;
    if (this.#rules) this.emit("rules", this.#rules);
    this.#setHost(about.host, about.term);
    this.#setState(about.state, null);
  }
  /** What was said before; who said it is known by now. */
  #hearAbout({ about = {} }) {
    for (const event of about.events ?? []) this.#broadcast(event);
    this.#session.after = about.last_event ?? this.#session.after;
  }
  #take(frame) {
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
  #keepMetadata(metadata) {
    this.#metadata = metadata;
    this.#session.metadata = metadata;
  }
  #setHost(host, term) {
    this.#host = host ?? null;
    this.#term = term ?? null;
    if (term !== void 0) this.emit("host", { host: this.#host, term, isHost: this.isHost });
  }
  #setState(state, by) {
    this.#state = state ? { version: state.version, value: state.value, by } : NO_STATE;
    if (state) this.emit("state", this.#state);
  }
  #broadcast({ from, data, event }) {
    this.emit("broadcast", { from, peer: this.peers.get(from) ?? null, data, event });
  }
  /** From now on these are the servers, for all links. */
  #ice(servers) {
    this.#iceServers = [...servers, ...this.#options.rtc?.iceServers ?? []];
    for (const peer of this.peers.values()) peer.setIceServers(this.#iceServers);
  }
  #asHost(frame) {
    return this.#session.request({ ...frame, term: this.#term ?? 0 });
  }
  #rosterHost() {
    return {
      linksMax: this.#options.linksMax ?? LINKS_MAX,
      rtc: () => this.#rtc(),
      signal: (to, data) => this.#session.post({ type: "signal", to, data }),
      report: (peer, link) => {
        if (this.#session.takesReports) this.#session.tell({ type: "report", peer, link });
      },
      diagnose: (peer) => this.#diagnose(peer),
      joined: (peer) => this.emit("peer", peer),
      left: (peer, reason) => this.emit("left", { peer, reason }),
      rejoined: (peer, before) => this.emit("rejoined", { peer, before })
    };
  }
  async #diagnose(peer) {
    const {
      type: _,
      id: __,
      ...diagnosis
    } = await this.#session.call({ type: "diagnose", peer });
    return diagnosis;
  }
  #rtc() {
    const now = Date.now();
    return {
      certificates: this.#certificates.filter(({ expires }) => expires > now),
      ...this.#options.rtc,
      iceServers: this.#iceServers,
      iceTransportPolicy: this.relayOnly ? "relay" : this.#options.rtc?.iceTransportPolicy ?? "all"
    };
  }
  /** The page goes: the others are told at once. It may come back from the browser's memory. */
  #hide = () => {
    this.#isHidden = true;
    this.#session.close();
    this.#roster.close();
  };
  #show = (event) => {
    if (!event.persisted) return;
    this.#isHidden = false;
    this.#session.start();
  };
};
function rulesOf({ capacity, sealed, public: isPublic, locked, writers, history }) {
  return { capacity, sealed, public: isPublic, locked, writers, history };
}

// src/lobby.ts
async function listRooms(url, search = {}) {
  const { where = [], open, sort, limit, signal } = search;
  const endpoint = new Endpoint(url);
  const address = endpoint.at("rooms", { open: open || void 0, sort, limit });
  for (const condition of where) address.searchParams.append("where", condition);
  const { rooms } = await endpoint.ask(address, signal ? { signal } : {});
  return rooms;
}
async function findRoom(url, room, { signal } = {}) {
  const endpoint = new Endpoint(url);
  const address = endpoint.at(`rooms/${encodeURIComponent(room)}`);
  try {
    return await endpoint.ask(address, signal ? { signal } : {});
  } catch (error) {
    if (error.code === "no_such_room") return null;
    throw error;
  }
}
async function makeRoom(url, make = {}) {
  const { room, options, idleS: idle_s, token, signal } = make;
  const body = JSON.stringify({ room, options, idle_s, token });
  const init = { method: "POST", body, headers: { "content-type": "application/json" } };
  const endpoint = new Endpoint(url);
  const request = signal ? { ...init, signal } : init;
  return (await endpoint.ask(endpoint.at("rooms"), request)).room;
}
async function match(url, ticket, { signal, http = false } = {}) {
  const endpoint = new Endpoint(url);
  if (signal?.aborted) throw aborted();
  if (http) return matchByHttp(endpoint, ticket, signal);
  const found = await matchBySocket(endpoint, ticket, signal);
  return found === BLOCKED ? matchByHttp(endpoint, ticket, signal) : found;
}
var BLOCKED = /* @__PURE__ */ Symbol("blocked");
var OPEN_TIMEOUT_MS = 5e3;
var PING_MS = 4e3;
function matchBySocket(endpoint, ticket, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(endpoint.socket, "heliograph.v1");
    let isOpen = false;
    const pings = setInterval(() => isOpen && socket.send('{"type":"ping"}'), PING_MS);
    const late = setTimeout(() => isOpen || end(() => resolve(BLOCKED)), OPEN_TIMEOUT_MS);
    const abort = () => end(() => reject(aborted()));
    const end = (how) => {
      clearInterval(pings);
      clearTimeout(late);
      signal?.removeEventListener("abort", abort);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      how();
    };
    signal?.addEventListener("abort", abort, { once: true });
    socket.onopen = () => {
      isOpen = true;
      socket.send(JSON.stringify({ type: "match", ticket }));
    };
    socket.onclose = () => end(isOpen ? () => reject(unreachable(endpoint)) : () => resolve(BLOCKED));
    socket.onmessage = ({ data }) => {
      const said = readFrame(String(data));
      if (said?.type === "matched") end(() => resolve(matchOf(said)));
      if (said?.type === "expired") end(() => resolve(null));
      if (said?.type === "error") end(() => reject(refusal(said)));
    };
  });
}
async function matchByHttp(endpoint, ticket, signal) {
  const init = { method: "POST", body: JSON.stringify(ticket) };
  const posted = await endpoint.ask(endpoint.at("tickets"), init);
  const address = endpoint.at(`tickets/${posted.ticket}`);
  const headers = { authorization: `Bearer ${posted.key}` };
  try {
    for (; ; ) {
      const status = await endpoint.ask(
        address,
        signal ? { headers, signal } : { headers }
      );
      if (status.status === "matched") return matchOf(status);
      if (status.status !== "waiting") return null;
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
    await endpoint.ask(address, { method: "DELETE", headers }).catch(() => null);
    throw aborted();
  }
}
function matchOf({ room, players, seats }) {
  return { room, players, seats };
}
function aborted() {
  return new HeliographError("aborted", "You have taken the ticket back.");
}
function unreachable(endpoint) {
  const text2 = `${endpoint.base.origin} closed the connection: post the ticket again.`;
  return new HeliographError("unreachable", text2, { retry: true });
}

// src/index.ts
async function join(url, room, options = {}) {
  return new Room(url, room, options).joined;
}
export {
  HeliographError,
  Room,
  findRoom,
  join,
  listRooms,
  makeRoom,
  match
};
