// A page and a Rust program meet.

import assert from "node:assert/strict";
import { only, scenario, startExample, startServer } from "./support.js";

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

scenario(
  "a page that switches to relay only takes its link to a Rust program along",
  async ({ visit, server, add }) => {
    const ada = await visit("rust-switch", { name: "Ada" });
    await ada.until("online", ({ status }) => status === "online");
    const rust = add(startExample(server, "rust-switch", "--name", "Ferris"));
    const { seat } = only(await ada.meets(["Ferris"], "direct"));
    await ada.page.click("label.switch:has(#relay)");
    const seen = await ada.meets(["Ferris"], "relayed");
    assert.equal(only(seen).seat, seat);
    const before = only(seen).received;
    await ada.until("positions of the Rust program", (now) => only(now).received >= before + 60);
    await ada.says("by the tower");
    await rust.line(/by the tower/);
    assert.equal(await rust.stop("SIGINT"), 0);
  },
);

scenario(
  "a page and a Rust program stay linked while the server is restarted, and meet again",
  async ({ visit, server, add }) => {
    const ada = await visit("rust-restart", { name: "Ada" });
    await ada.until("online", ({ status }) => status === "online");
    const rust = add(startExample(server, "rust-restart", "--name", "Ferris"));
    const seat = only(await ada.meets(["Ferris"], "direct")).seat;
    await server.end("SIGKILL");
    await rust.line(/server lost, trying again/);
    const before = only(await ada.sees()).received;
    await ada.says("no server between us");
    await rust.line(/no server between us/);
    await ada.until("positions still come", (seen) => only(seen).received > before + 60);
    assert.equal((await ada.sees()).links.closed, 0);

    add(await startServer({ port: server.port }));
    await ada.comesBack();
    await rust.line(/joined anew/);
    const seen = await ada.until(
      "one Ferris, on a new seat",
      ({ people }) => people.length === 1 && !["", seat].includes(people[0].seat),
    );
    assert.equal(only(seen).name, "Ferris");
    await ada.meets(["Ferris"], "direct");
    await ada.says("and on we go");
    await rust.line(/and on we go/);
    assert.equal(await rust.stop("SIGINT"), 0);
  },
);
