// A seat in a room, over each of the three transports, for as long as it takes to see whether it
// works and how fast (docs/protocol.md). Resumes nothing: what breaks is what is to be found out.

const SUBPROTOCOL = "heliograph.v1";

/** How long the server may take for any answer. */
const ANSWER_MS = 8000;

/** How long the first event may take on a stream that is open. */
const FIRST_EVENT_MS = 4000;

/** How long a stream that the server has ended may take to come out of a proxy. */
const RELEASE_MS = 3000;

/**
 * Why a transport doesn't work. `code` is `refused` (the server's own word is in `refusal`, its
 * sentence in `message`), `unreachable`, `silent`, `held` (a proxy holds the stream back) or
 * `strange` (somebody else answers, as `message` says).
 */
export class Problem extends Error {
  constructor(code, { text = "", refusal = "" } = {}) {
    super(text);
    this.code = code;
    this.refusal = refusal;
  }
}

/**
 * What all three have: `open()` takes the seat and gives the `welcome`, `echo()` sends something to
 * all of the room, which is only us, and gives the milliseconds until it is back, `leave()` gives
 * the seat back.
 */
class Seat {
  constructor({ base, hello }) {
    this.base = base;
    this.hello = { type: "hello", ...hello };
    this.seq = 0;
    this.echoes = new Map();
    this.sent = 0;
  }

  async echo() {
    this.sent += 1;
    const number = this.sent;
    const began = performance.now();
    const back = new Promise((resolve) => this.echoes.set(number, resolve));
    try {
      await this.send({ type: "broadcast", data: { echo: number }, ack: this.seq });
      await within(ANSWER_MS, back);
    } finally {
      this.echoes.delete(number);
    }
    return performance.now() - began;
  }

  receive(frame) {
    if (Number.isSafeInteger(frame.seq)) this.seq = frame.seq;
    if (frame.type === "broadcast") this.echoes.get(frame.data?.echo)?.();
  }

  /** The `welcome` among these frames. */
  welcomed(frames) {
    for (const frame of frames) this.receive(frame);
    const welcome = frames.find(({ type }) => type === "welcome");
    if (!welcome) throw refused(frames.find(({ type }) => type === "error"));
    return welcome;
  }
}

/** Over a WebSocket. */
export class WebSocketSeat extends Seat {
  async open() {
    const url = new URL("v1/ws", this.base);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, SUBPROTOCOL);
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    const answer = new Promise((resolve, reject) => {
      socket.onopen = () => this.send(this.hello);
      socket.onmessage = ({ data }) => resolve(JSON.parse(data));
      socket.onclose = () => reject(new Problem("unreachable"));
    });
    try {
      const welcome = this.welcomed([await within(ANSWER_MS, answer)]);
      socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
      return welcome;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  async leave() {
    if (this.socket.readyState === WebSocket.OPEN) this.send({ type: "leave" });
    await within(ANSWER_MS, this.closed).catch(() => this.socket.close());
  }
}

/** What the two without WebSocket share: what is sent goes by POST. */
class PostSeat extends Seat {
  constructor(options) {
    super(options);
    this.ending = new AbortController();
  }

  async open() {
    const welcome = this.welcomed(await this.post("v1/send", this.hello));
    this.session = welcome.session;
    this.key = welcome.key;
    return welcome;
  }

  send(frame) {
    return this.post(`v1/send?session=${encodeURIComponent(this.session)}`, frame);
  }

  async leave() {
    await this.send({ type: "leave" }).catch(() => {}); // Then its grace ends it.
    this.ending.abort();
  }

  async post(path, frame) {
    const body = JSON.stringify(frame);
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await this.ask(path, { method: "POST", body, signal, keepalive: true });
    return readList(answer);
  }

  /** Asks for what listens to the session. */
  listen(path, headers = {}) {
    const query = `session=${encodeURIComponent(this.session)}&seq=${this.seq}`;
    return this.ask(`${path}?${query}`, { headers, signal: this.ending.signal });
  }

  async ask(path, { headers = {}, ...init }) {
    const authorization = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    const all = { ...headers, ...authorization };
    try {
      return await fetch(new URL(path, this.base), { headers: all, cache: "no-store", ...init });
    } catch (error) {
      throw new Problem(error.name === "TimeoutError" ? "silent" : "unreachable");
    }
  }
}

/** Over server-sent events, and POST. */
export class EventsSeat extends PostSeat {
  async open() {
    const welcome = await super.open();
    const started = new Promise((resolve, reject) => this.#read(resolve).catch(reject));
    try {
      await within(FIRST_EVENT_MS, started);
    } catch (error) {
      if (error.code !== "silent") throw error;
      // The server ends the stream of who leaves: then a proxy lets go of what it has gathered.
      await this.send({ type: "leave" });
      const released = await within(RELEASE_MS, started).then(
        () => true,
        () => false,
      );
      this.ending.abort();
      throw new Problem(released ? "held" : "silent");
    }
    return welcome;
  }

  async #read(started) {
    const answer = await this.listen("v1/events", { Accept: "text/event-stream" });
    if (!isOf(answer, "text/event-stream")) await readList(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true }));
      if (done) return;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        const data = event.match(/^data: (.*)$/m);
        if (!data) continue;
        started();
        this.receive(JSON.parse(data[1]));
      }
    }
  }
}

/** Over long polls, and POST. */
export class PollSeat extends PostSeat {
  async open() {
    const welcome = await super.open();
    this.#read().catch(() => this.ending.abort()); // Then no echo comes any more.
    return welcome;
  }

  async #read() {
    while (!this.ending.signal.aborted) {
      for (const frame of await readList(await this.listen("v1/poll"))) this.receive(frame);
    }
  }
}

/** What comes of `promise`, or `silent` if nothing has in this time. */
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Problem("silent")), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The frames of an answer: a list of them, or one error. */
async function readList(answer) {
  const frames = isOf(answer, "application/json") ? await answer.json().catch(() => null) : null;
  if (Array.isArray(frames)) return frames;
  if (frames?.type === "error") throw refused(frames);
  throw new Problem("strange", { text: `${answer.status} ${answer.statusText}`.trim() });
}

function isOf(answer, type) {
  return answer.headers.get("content-type")?.startsWith(type) ?? false;
}

function refused(error) {
  if (!error) return new Problem("strange", { text: "neither a welcome nor an error" });
  return new Problem("refused", { text: error.text, refusal: error.code });
}
