// The page /check: its seats over plain HTTP, before a network that is made up.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { EventsSeat, PollSeat } from "../../../signal/server/page/check/seat.js";

const base = new URL("http://server.test/meet/");
const hello = { room: "r", metadata: {} };
const WELCOME = { type: "welcome", seq: 1, session: "r:p", key: "k" };

const real = globalThis.fetch;
afterEach(() => (globalThis.fetch = real));

/** Answers requests by what `answer` makes of their path and body; keeps what was asked. */
function network(answer) {
  const asked = [];
  globalThis.fetch = async (url, { body, headers }) => {
    const frame = body && JSON.parse(body);
    asked.push({ path: url.pathname + url.search, frame, headers });
    return answer(url.pathname.split("/").at(-1), frame);
  };
  return asked;
}

const json = (value, status = 200) =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } });

/** A stream of events that is fed by hand. */
function stream() {
  let feed;
  const body = new ReadableStream({ start: (controller) => (feed = controller) });
  const answer = new Response(body, { headers: { "content-type": "text/event-stream" } });
  const encoder = new TextEncoder();
  return {
    answer,
    say: (text) => feed.enqueue(encoder.encode(text)),
    end: () => feed.close(),
  };
}

for (const [name, answer, expected] of [
  [
    "somebody else answers",
    () => new Response("<html>", { status: 502, statusText: "Bad Gateway" }),
    { code: "strange", message: "502 Bad Gateway" },
  ],
  [
    "nobody is there",
    () => Promise.reject(new TypeError("Failed to fetch")),
    { code: "unreachable" },
  ],
  [
    "nothing comes back",
    () => Promise.reject(new DOMException("timed out", "TimeoutError")),
    { code: "silent" },
  ],
  [
    "the server refuses",
    () => json({ type: "error", code: "unauthorized", text: "a token is needed" }, 401),
    { code: "refused", refusal: "unauthorized", message: "a token is needed" },
  ],
  [
    "the welcome is missing",
    () => json([]),
    { code: "strange", message: "neither a welcome nor an error" },
  ],
]) {
  test(`no seat: ${name}`, async () => {
    network(answer);
    await assert.rejects(new PollSeat({ base, hello }).open(), expected);
  });
}

test("an echo comes back over events, however they are cut", async () => {
  const events = stream();
  const asked = network((path, frame) => {
    if (path === "events") return events.answer;
    if (frame.type === "hello") return json([WELCOME]);
    if (frame.type === "broadcast") {
      const came = { type: "broadcast", seq: 2, data: frame.data };
      const text = `id: 2\ndata: ${JSON.stringify(came)}\n\n`;
      events.say(text.slice(0, 25));
      events.say(`${text.slice(25)}:\n\n`);
    }
    return json([]);
  });
  queueMicrotask(() => events.say('retry: 1000\n\ndata: {"type":"resumed"}\n\n'));
  const seat = new EventsSeat({ base, hello });
  assert.equal((await seat.open()).session, "r:p");
  assert.ok((await seat.echo()) >= 0);
  await seat.leave();
  assert.equal(asked[1].path, "/meet/v1/events?session=r%3Ap&seq=1", "beside the page");
  assert.equal(asked[1].headers.Authorization, "Bearer k");
  assert.deepEqual(asked.at(-1).frame, { type: "leave" });
});

test(
  "events that don't come until the stream ends were held back",
  { timeout: 20_000 },
  async () => {
    const events = stream();
    network((path, frame) => {
      if (path === "events") return events.answer;
      if (frame.type === "hello") return json([WELCOME]);
      events.say('data: {"type":"resumed"}\n\n');
      events.end();
      return json([]);
    });
    await assert.rejects(new EventsSeat({ base, hello }).open(), { code: "held" });
  },
);

test("an echo comes back over polls, each behind the last", async () => {
  let answerPoll;
  const asked = network((path, frame) => {
    if (path === "poll") return new Promise((resolve) => (answerPoll = resolve));
    if (frame.type === "broadcast") {
      answerPoll(json([{ type: "resumed" }, { type: "broadcast", seq: 7, data: frame.data }]));
    }
    return json(frame.type === "hello" ? [WELCOME] : []);
  });
  const seat = new PollSeat({ base, hello });
  await seat.open();
  await seat.echo();
  await new Promise((resume) => setImmediate(resume));
  const polls = asked.filter(({ path }) => path.includes("/poll")).map(({ path }) => path);
  assert.deepEqual(polls, [
    "/meet/v1/poll?session=r%3Ap&seq=1",
    "/meet/v1/poll?session=r%3Ap&seq=7",
  ]);
  await seat.leave();
});
