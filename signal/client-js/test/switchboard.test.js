// Named channels: what two sides say to each other about them, with connections that are played here.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../build/channel.js";
import { Switchboard } from "../build/switchboard.js";

/** One end of a data channel. */
class End {
  readyState = "open";
  bufferedAmount = 0;
  sent = [];

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.readyState = "closed";
  }
}

/** Two sides; what they say waits until `carry`. */
function pair() {
  const side = (isEven) => {
    const control = new End();
    const made = new Map();
    const told = [];
    const seats = [];
    const restarts = [];
    const board = new Switchboard(control, isEven, {
      make: (label, id, init) => made.set(id, Object.assign(new End(), { label, init })).get(id),
      messageMax: () => 1000,
      opened: (channel) => told.push(channel),
      claimed: (seat) => seats.push(seat),
      restarts: () => restarts.push(true),
    });
    return { control, made, told, seats, restarts, board };
  };
  const [even, odd] = [side(true), side(false)];
  const carry = () => {
    while (even.control.sent.length + odd.control.sent.length > 0) {
      for (const text of even.control.sent.splice(0)) odd.control.onmessage({ data: text });
      for (const text of odd.control.sent.splice(0)) even.control.onmessage({ data: text });
    }
  };
  return { even, odd, carry };
}

test("a channel is made on both ends alike, and what was sent early waits for that", () => {
  const { even, odd, carry } = pair();
  const channel = even.board.open("state", {});
  assert.equal(even.board.open("state", {}), channel, "one for each label");
  channel.send("early");
  assert.deepEqual([channel.state, channel.bufferedAmount], ["connecting", 5]);
  carry();
  assert.deepEqual([channel.state, channel.bufferedAmount], ["open", 0]);
  assert.deepEqual(even.made.get(4).sent, ["early"]);
  assert.deepEqual(
    odd.told.map(({ label, state }) => [label, state]),
    [["state", "open"]],
  );
  const lossy = odd.board.open("moves", { lossy: true });
  assert.equal(lossy.send("early"), false);
  assert.equal(lossy.dropped, 1);
  carry();
  assert.deepEqual(even.made.get(5).init, { ordered: false, maxRetransmits: 0 });
});

test("if both open the same channel at once, the even number wins and nothing is lost", () => {
  const { even, odd, carry } = pair();
  const [one, two] = [even.board.open("chat", {}), odd.board.open("chat", {})];
  two.send("from the odd side");
  carry();
  assert.deepEqual([one.state, two.state], ["open", "open"]);
  assert.deepEqual(odd.made.get(4).sent, ["from the odd side"]);
  assert.equal(odd.made.get(5).readyState, "closed");
  assert.deepEqual([even.told, odd.told], [[], []], "both have asked for it: nobody is told");
});

test("a closed channel is closed on both ends, and its number used again", () => {
  const { even, odd, carry } = pair();
  const channel = even.board.open("file", {});
  carry();
  channel.close();
  assert.throws(() => channel.send("x"), { code: "closed" });
  assert.notEqual(even.board.open("file", {}), channel, "another one");
  assert.ok(even.made.has(6), "the other side may still use the number");
  carry();
  odd.made.get(4).onclose();
  assert.deepEqual(
    odd.told.map(({ label, state }) => [label, state]),
    [["file", "closed"], ["file", "open"]],
  );
  carry();
  even.board.open("again", {});
  assert.equal(even.made.get(4).label, "again");
});

test("what was sent before a channel was closed comes, though it is said first that it was", () => {
  const { even, odd, carry } = pair();
  const channel = even.board.open("file", {});
  carry();
  const came = [];
  odd.told[0].on("message", (data) => came.push(data));
  channel.close();
  carry();
  odd.made.get(4).onmessage({ data: "the last piece" });
  odd.made.get(4).onclose();
  assert.deepEqual(came, ["the last piece"]);
  assert.equal(odd.told[0].state, "closed");
  odd.board.end();
});

test("numbers of the wrong side, and more channels than a link may have, are refused", () => {
  const { even, odd, carry } = pair();
  odd.control.onmessage({ data: JSON.stringify({ open: { id: 7, label: "mine" } }) });
  assert.equal(JSON.parse(odd.control.sent.pop()).refused, 7);
  for (let n = 0; n < 64; n += 1) even.board.open(`channel ${n}`, {});
  carry();
  assert.throws(() => even.board.open("one more", {}), { code: "too_many" });
  const refused = odd.board;
  assert.throws(() => refused.open("one more", {}), { code: "too_many" });
});

test("who is asked to look for another path is told so, and nobody else", () => {
  const { even, odd, carry } = pair();
  even.board.askRestart();
  carry();
  assert.deepEqual([even.restarts, odd.restarts], [[], [true]]);
  odd.control.onmessage({ data: '{"restart":false}' });
  assert.equal(odd.restarts.length, 1);
});

test("what can't be read changes nothing, and a seat is passed on", () => {
  const { odd } = pair();
  for (const data of ["", "[", "null", "7", '{"open":{}}', '{"opened":4}', new ArrayBuffer(3)])
    odd.control.onmessage({ data });
  assert.deepEqual(odd.control.sent, []);
  odd.control.onmessage({ data: '{"seat":"ada","new":1}' });
  assert.deepEqual(odd.seats, ["ada"]);
});

test("messages over the limit, and those for which there is no room, are refused with the limit", async () => {
  const channel = new Channel("x", { bufferedMax: 100 }, () => {});
  const end = new End();
  channel.attach(end, channel.init, () => 60);
  channel.answered();
  assert.throws(() => channel.send("x".repeat(61)), { code: "too_large", limit: 60 });
  assert.throws(() => channel.send("ü".repeat(31)), { code: "too_large" }, "bytes count");
  end.bufferedAmount = 90;
  assert.throws(() => channel.send("x".repeat(11)), { code: "full", limit: 100, retry: true });
  const drained = channel.drained();
  end.bufferedAmount = 25;
  end.onbufferedamountlow();
  await drained;
  const closing = channel.drained();
  await closing;
  end.bufferedAmount = 90;
  const never = channel.drained();
  channel.ended();
  await assert.rejects(never, { code: "closed" });
});
