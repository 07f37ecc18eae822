// How the SDK reaches a server in real browsers: with and without WebSockets, and how it leaves.

import assert from "node:assert/strict";
import { PlainProxy, enter, open } from "./sdk.js";
import { Line, scenario, scenarioOfTwo } from "./support.js";

/** What a page does to say something to all in the room, and to hear it. */
const say = (room, text) => room.broadcast(text);

/** Waits until this is the first that it has heard: what came early has waited. */
async function hears(one, text) {
  await one.becomes(`heard ${text}`, text, (room) => {
    window.end ??= room.on("broadcast", ({ data }) => (window.heard ??= data));
    return window.heard;
  });
}

scenarioOfTwo(
  "where no WebSocket gets through, events and requests do",
  async ({ browser, second, server, add }) => {
    const proxy = add(await PlainProxy.to(server));
    const ada = await enter(browser, proxy, "blocked", { name: "ada" });
    assert.equal((await ada.sees()).connection.transport, "events");
    const ben = await enter(second, server, "blocked", { name: "ben" });
    assert.equal((await ben.sees()).connection.transport, "websocket");
    await Promise.all([ada.meets(1, "direct"), ben.meets(1, "direct")]);
    await ada.run(say, "by events");
    await hears(ben, "by events");
    const state = await ada.run((room) => room.setState({ map: "dust" }));
    assert.deepEqual([state.version, state.value], [1, { map: "dust" }]);
    // It shows that it is there although nothing happens.
    await new Promise((resume) => setTimeout(resume, 12_000));
    assert.equal((await ben.sees()).peers[0].away, false);
    assert.ok(proxy.requests.filter((one) => one === "GET /v1/ws").length >= 2);
    assert.equal(proxy.requests.filter((one) => one === "GET /v1/events").length, 1);
    await ada.page.close();
    await ben.until(
      "ada left",
      ({ events }) => events.some((it) => it.join() === "left,ada,left"),
      3000,
    );
  },
);

scenarioOfTwo("long polls carry a session as well, and a leaving tab is told at once", async (stage) => {
  const { browser, second, server } = stage;
  const ada = await enter(browser, server, "polls", { name: "ada", transports: ["poll"] });
  assert.equal((await ada.sees()).connection.transport, "poll");
  const ben = await enter(second, server, "polls", { name: "ben" });
  await Promise.all([ada.meets(1, "direct"), ben.meets(1, "direct")]);
  const refused = await ada.run((room) =>
    room.setState(1, { ifVersion: 7 }).catch(({ code }) => code),
  );
  assert.equal(refused, "conflict");
  await ada.page.close();
  await ben.until(
    "ada left",
    ({ events }) => events.some((it) => it.join() === "left,ada,left"),
    3000,
  );
});

scenarioOfTwo(
  "a session that lost its WebSocket goes on by events, and nothing is lost",
  async (stage) => {
    const { browser, second, server, add } = stage;
    const line = add(await Line.to(server));
    const ada = await enter(browser, line, "onwards", { name: "ada" });
    const ben = await enter(second, server, "onwards", { name: "ben" });
    await Promise.all([ada.meets(1), ben.meets(1)]);
    const seat = (await ada.sees()).self;
    await ada.page.evaluate(() => {
      window.WebSocket = class {
        constructor() {
          queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" }));
        }
        close() {}
      };
    });
    line.cut();
    line.mend();
    await ben.run((room) => room.broadcast("meanwhile"));
    await ada.until("online by events", ({ connection }) => connection.transport === "events");
    assert.equal((await ada.sees()).self, seat);
    await ada.run((room) => room.setState("by events"));
    await ben.becomes("the state", "by events", (room) => room.state.value);
    const { events } = await ben.sees();
    assert.ok(!events.some(([what]) => what === "left"));
  },
);

scenarioOfTwo("a tab that is closed is announced at once", async ({ browser, second, server }) => {
  const ada = await enter(browser, server, "closing", { name: "ada" });
  const ben = await enter(second, server, "closing", { name: "ben" });
  await Promise.all([ada.meets(1), ben.meets(1)]);
  await ada.page.close({ runBeforeUnload: false });
  await ben.until(
    "ada left",
    ({ events }) => events.some((it) => it.join() === "left,ada,left"),
    3000,
  );
});

scenario("a tab that is away and closed leaves by a request", async ({ browser, server, add }) => {
  const line = add(await Line.to(server));
  const ada = await enter(browser, line, "away", { name: "ada" });
  const ben = await enter(browser, server, "away", { name: "ben" });
  await Promise.all([ada.meets(1), ben.meets(1)]);
  await ada.page.evaluate(() => {
    window.WebSocket = class {
      close() {}
    };
  });
  line.cut();
  line.mend();
  await ben.until("ada is away", ({ peers }) => peers[0].away);
  await ada.run((room) => room.close());
  await ben.until(
    "ada left",
    ({ events }) => events.some((it) => it.join() === "left,ada,left"),
    3000,
  );
});

scenario("what a room keeps is the same for all, and refusals say what to do", async (stage) => {
  const { browser, server } = stage;
  const create = { hosted: true, history: 10, password: "mellon" };
  const ada = await enter(browser, server, "kept", { name: "ada", create });
  const ben = await open(browser, server);
  const join = ([url, password]) =>
    window.sdk.join(url, "kept", { password }).then(
      ({ host }) => ["joined", host],
      ({ code, text }) => [code, text],
    );
  const [code, text] = await ben.page.evaluate(join, [server.page, "friend"]);
  assert.equal(code, "wrong_password");
  assert.match(text, /password/);
  await ada.run((room) => room.broadcast("one"));
  await ben.join(server.page, "kept", { password: "mellon", after: 0, metadata: { name: "ben" } });
  await ben.becomes("what was said before", ["one", "ada", false], (room) => {
    window.heard ??= [];
    window.once ??= room.on("broadcast", (it) => window.heard.push(it));
    const [first] = window.heard;
    return [first?.data, first?.peer?.metadata.name, room.isHost];
  });
  const counted = await Promise.all([ada, ben].map((one) => one.run(increment)));
  assert.deepEqual(counted, [20, 20]);
  const final = await ada.run((room) => room.state.value);
  assert.equal(final, 40);
  const history = await ben.run((room) => room.history({ after: 0 }));
  assert.deepEqual(
    history.events.map(({ data }) => data),
    ["one"],
  );
  const refused = await ben.run((room) => room.kick("x").catch((error) => error.code));
  assert.equal(refused, "not_host");
  await ada.run((room) => room.handOver([...room.peers.keys()][0]));
  await ben.becomes("the host", true, (room) => room.isHost);
  await ben.run((room) => room.kick([...room.peers.keys()][0]));
  await ada.until("removed", ({ connection }) => connection.code === 4104);
});

/** Runs in the page: adds one to the room's state, twenty times, though others do the same. */
async function increment(room) {
  for (let done = 0; done < 20;) {
    const { value, version } = room.state;
    const next = room.setState((value ?? 0) + 1, { ifVersion: version });
    done += await next.then(
      () => 1,
      ({ code, retryAfterMs }) => {
        if (code === "rate_limited")
          return new Promise((resume) => setTimeout(resume, retryAfterMs, 0));
        return code === "conflict" ? 0 : Promise.reject(code);
      },
    );
  }
  return 20;
}

scenario("rooms are listed and made, and tickets find each other", async ({ browser, server }) => {
  const ada = await open(browser, server);
  const found = await ada.page.evaluate(async (url) => {
    const { listRooms, makeRoom, match } = window.sdk;
    const room = await makeRoom(url, { options: { public: true, state: { mode: "duel" } } });
    await new Promise((resume) => setTimeout(resume, 1100));
    const rooms = await listRooms(url, { where: ["mode=duel"] });
    const ticket = { queue: "arena", size: 2 };
    const matches = await Promise.all([match(url, ticket), match(url, ticket, { http: true })]);
    const late = await match(url, { queue: "nobody", size: 2, timeout_s: 1 });
    const bad = await match(url, { queue: "arena", size: 1 }).catch(({ code }) => code);
    const stop = AbortSignal.timeout(200);
    const taken = await match(url, { queue: "nobody", size: 2 }, { signal: stop }).catch(
      ({ code }) => code,
    );
    return { listed: rooms.some((one) => one.room === room), matches, late, bad, taken };
  }, server.page);
  assert.equal(found.listed, true);
  const [one, two] = found.matches;
  assert.equal(one.room, two.room);
  assert.deepEqual(
    [one.seats[0] + two.seats[0], found.late, found.bad, found.taken],
    [1, null, "bad_ticket", "aborted"],
  );
});

scenario(
  "large messages are refused with the limit, and a full channel says when it drains",
  async (stage) => {
    const { browser, server } = stage;
    const ada = await enter(browser, server, "large", { name: "ada" });
    const ben = await enter(browser, server, "large", { name: "ben" });
    await Promise.all([ada.meets(1), ben.meets(1)]);
    const sent = await ada.run(async (room) => {
      const [peer] = room.peers.values();
      const file = peer.channel("file", { bufferedMax: 512 * 1024 });
      const attempt = (bytes) => {
        try {
          return file.send(new Uint8Array(bytes));
        } catch ({ code, limit }) {
          return [code, limit];
        }
      };
      const limit = file.messageBytesMax;
      const [over, under] = [attempt(limit + 1), attempt(limit)];
      let full = 0;
      for (let part = 0; part < 200; part += 1) {
        while (attempt(65_536) !== true) {
          full += 1;
          await file.drained();
        }
      }
      return { over, under, limit, isFull: full > 0 };
    });
    assert.deepEqual(sent.over, ["too_large", sent.limit]);
    assert.deepEqual([sent.under, sent.isFull], [true, true]);
    await ben.until("all of it", ({ came }) => came.file?.length === 201);
  },
);

scenario("two hundred joins and leaves leave nothing behind", async ({ browser, server }) => {
  const ada = await enter(browser, server, "leaks", { name: "ada" });
  const ben = await open(browser, server);
  const session = await ben.page.context().newCDPSession(ben.page);
  const objects = async (prototype) => {
    await session.send("HeapProfiler.collectGarbage");
    const expression = `window.${prototype}.prototype`;
    const { result } = await session.send("Runtime.evaluate", { expression });
    const found = await session.send("Runtime.queryObjects", {
      prototypeObjectId: result.objectId,
    });
    const count = { functionDeclaration: "function() { return this.length }", returnByValue: true };
    const { objectId } = found.objects;
    const counted = await session.send("Runtime.callFunctionOn", { objectId, ...count });
    await session.send("Runtime.releaseObject", { objectId });
    return counted.result.value;
  };
  const heap = async () => {
    await session.send("HeapProfiler.collectGarbage");
    return (await session.send("Runtime.getHeapUsage")).usedSize;
  };
  const joinAndLeave = ([url, times]) => {
    const turn = async () => {
      const room = await window.sdk.join(url, "leaks", { metadata: { name: "ben" } });
      const peer = await new Promise((resolve) => room.once("peer", resolve));
      if (peer.state !== "connected")
        await new Promise((resolve) =>
          peer.on("state", (state) => state === "connected" && resolve()),
        );
      const channel = peer.channel("chat");
      channel.send("hello");
      await new Promise((resolve) => channel.on("open", resolve));
      room.close();
    };
    return (async () => {
      for (let n = 0; n < times; n += 1) await turn();
    })();
  };
  await ben.page.evaluate(joinAndLeave, [server.page, 20]);
  const before = await heap();
  for (let round = 0; round < 18; round += 1)
    await ben.page.evaluate(joinAndLeave, [server.page, 10]);
  await ada.until("nobody else", ({ peers }) => peers.length === 0);
  const after = await heap();
  for (const prototype of ["RTCPeerConnection", "WebSocket", "sdk.Room"])
    assert.ok(
      (await objects(prototype)) <= 2,
      `${prototype}: ${await objects(prototype)} are left`,
    );
  assert.ok(after - before < 1_000_000, `${after - before} bytes are left`);
});
