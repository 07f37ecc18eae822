// A page and a Rust program meet.

import assert from "node:assert/strict";
import { only, scenario, startExample } from "./support.js";

for (const { path, args } of [
  { path: "direct", args: [] },
  { path: "relayed", args: ["--relay-only"] },
]) {
  scenario(
    `a page and a Rust program exchange lossy and reliable messages, ${path}`,
    async ({ visit, server, add }) => {
      const room = `rust-${path}`;
      const ada = await visit(room, { name: "Ada", relayOnly: path === "relayed" });
      await ada.until("online", ({ status }) => status === "online");
      const rust = add(startExample(server, room, "--name", "Ferris", ...args));
      const seen = await ada.meets(["Ferris"], path);
      assert.equal(only(seen).badge, path === "direct" ? "Direct" : "Relayed");
      await ada.until("positions of the Rust program", (now) => only(now).received >= 60);
      await ada.until("a greeting", ({ chat }) => chat.some((line) => line.startsWith("Ferris ")));
      await ada.says("hello Ferris");
      await rust.line(/hello Ferris/);
      await rust.line(path === "direct" ? /direct/i : /relay/i);
      assert.equal(await rust.stop("SIGINT"), 0);
      await ada.until("the Rust program has left", ({ people }) => people.length === 0, 5000);
    },
  );
}
