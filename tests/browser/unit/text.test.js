import assert from "node:assert/strict";
import { test } from "node:test";
import { UNIT_MS, flashes } from "../../../signal/server/page/morse.js";
import { cleanText, randomRoom, roomFromHash, tokenFromHash } from "../../../signal/server/page/names.js";
import {
  readChat,
  readMotion,
  writeChat,
  writeMotion,
} from "../../../signal/server/page/wire.js";

test("a made-up room is one that the protocol takes", () => {
  for (let i = 0; i < 500; i += 1) {
    const room = randomRoom();
    assert.match(room, /^[a-z]+-[a-z]+-\d{3}$/);
    assert.equal(roomFromHash(`#${room}`), room);
  }
  assert.match(
    randomRoom(() => 0),
    /-100$/,
  );
  assert.match(
    randomRoom(() => 0.999999),
    /-999$/,
  );
});

test("a room in a link is brought into the protocol's alphabet", () => {
  assert.equal(roomFromHash("#/team room"), "team-room");
  assert.equal(roomFromHash("#caf%C3%A9"), "cafe");
  assert.equal(roomFromHash("#50%"), "50");
  assert.equal(roomFromHash("#<script>"), "script");
  assert.equal(roomFromHash("#"), "");
  assert.equal(roomFromHash("#demo?token=a.b-_c"), "demo");
  assert.equal(roomFromHash(`#${"x".repeat(100)}`).length, 64);
});

test("a token may come with the link", () => {
  assert.equal(tokenFromHash("#demo?token=a.b-_c"), "a.b-_c");
  assert.equal(tokenFromHash("#demo"), "");
  assert.equal(tokenFromHash("#demo?token=a b"), "");
});

test("text from elsewhere can't break its line, turn its direction or be endless", () => {
  assert.equal(cleanText("a\nb\u0000c", 10), "a b c");
  assert.equal(cleanText("abc\u202egnp", 10), "abcgnp");
  assert.equal(cleanText(" \u200b ", 10), "");
  assert.equal(cleanText("🌞".repeat(30), 24), "🌞".repeat(24));
  for (const other of [null, undefined, 7, {}, ["x"]]) assert.equal(cleanText(other, 10), "");
});

test("a position survives the wire", () => {
  const motion = { x: 0.25, y: 1, n: 7, t: 1234 };
  assert.deepEqual(readMotion(writeMotion(motion)), motion);
  assert.deepEqual(readMotion(new TextEncoder().encode(writeMotion(motion)).buffer), motion);
});

test("what is said survives the wire", () => {
  assert.equal(readChat(writeChat('"hi" \\ 🌞')), '"hi" \\ 🌞');
});

test("broken and hostile messages are ignored, unknown fields too", () => {
  for (const bad of [
    "",
    "{",
    "null",
    "7",
    "[]",
    '{"x":0,"y":0}',
    '{"x":"0","y":0,"n":1}',
    '{"x":0,"y":0,"n":-1}',
    '{"x":0,"y":0,"n":0.5}',
    '{"x":1e999,"y":0,"n":1}',
    `{"x":0,"y":0,"n":1,"z":"${"z".repeat(20_000)}"}`,
  ]) {
    assert.equal(readMotion(bad), null, bad.slice(0, 40));
  }
  assert.deepEqual(readMotion('{"x":9,"y":-9,"n":1,"future":true}'), { x: 1, y: 0, n: 1, t: null });
  assert.equal(readChat('{"chat":"hi","future":1}'), "hi");
  for (const bad of ["", "{", "null", "[]", '{"chat":7}', '{"chat":""}', '{"chat":{}}'])
    assert.equal(readChat(bad), "", bad);
});

test("Morse: a dash is three dots, and letters are three dots apart", () => {
  assert.deepEqual(flashes("et"), [
    [0, UNIT_MS],
    [4 * UNIT_MS, 7 * UNIT_MS],
  ]);
  assert.deepEqual(flashes("—"), []);
  assert.ok(flashes("0".repeat(500)).length <= 40);
});
