import assert from "node:assert/strict";
import { test } from "node:test";
import { statusText } from "../../../signal/server/page/status.js";

const waiting = { name: "waiting", inMs: 500, error: null };

test("states are told in plain words", () => {
  assert.equal(statusText({ name: "online" }, 0), "Connected to the server");
  assert.equal(
    statusText({ ...waiting, code: 4003, text: "The server is restarting." }, 2),
    "The server is restarting. Your 2 open links work on.",
  );
  assert.equal(
    statusText({ ...waiting, code: 1006, text: "There is no connection to the server." }, 0),
    "There is no connection to the server.",
  );
});

test("what the server says is told as its word, whether it may take us later or never", () => {
  const text = "the room is full";
  const refused = { code: 0, text, error: { text } };
  assert.equal(
    statusText({ ...refused, name: "waiting" }, 1),
    "The server says: the room is full. Your open link works on.",
  );
  const never = { code: 0, text: "It is over.", error: { text: "It is over." } };
  assert.equal(statusText({ ...never, name: "ended" }, 0), "The server says: It is over.");
});

test("who was removed, or whose page is to blame, is told so", () => {
  const ended = (code, text) => statusText({ name: "ended", code, text, error: { text } }, 0);
  assert.equal(ended(4104, "You were removed."), "You were removed.");
  assert.match(ended(4100, "The client …"), /this page.*Reload it/);
  assert.match(ended(4102, "The token …"), /Come back by a new link/);
});
