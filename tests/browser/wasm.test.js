// Rust programs in pages, compiled to WebAssembly: examples/web.

import assert from "node:assert/strict";
import { visitEcho } from "./echo.js";
import { scenario, startExample, startServer } from "./support.js";

scenario("a Rust program in a page returns what a Rust program outside sends", async (stage) => {
  const page = await visitEcho(stage, "wasm-native", "Web");
  await page.reads(/^in room wasm-native as /);
  const goal = ["--messages", "120"];
  const rust = stage.add(startExample(stage.server, "wasm-native", "--name", "Ferris", ...goal));
  await page.reads(/^Ferris connected: direct \(/);
  await page.reads(/^Ferris says: Hello from Rust\.$/);
  await rust.line(/Web .* connected: direct/);
  await rust.line(/Web .* says: Hello from Rust in a page\./);
  await page.says("hello Ferris");
  await rust.line(/Web .* says: hello Ferris/);
  assert.equal((await rust.exited)[0], 0, "lossy messages come back");
  await page.reads(/^Ferris is gone: left$/);
});

scenario("Rust programs in two pages and a page of ours meet each other", async (stage) => {
  const ada = await visitEcho(stage, "wasm-wasm", "Ada");
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "wasm-wasm", "Bob");
  const eve = await stage.visit("wasm-wasm", { name: "Eve" });
  for (const [page, other] of [
    [ada, "Bob"],
    [bob, "Ada"],
  ]) {
    await page.reads(new RegExp(`^${other} connected: direct \\(`));
    await page.reads(new RegExp(`^${other} says: Hello from Rust in a page\\.$`));
    await page.reads(new RegExp(`^${other} echoes: Hello from Rust in a page\\.$`));
    await page.reads(new RegExp(`^${other} echoes over lossy$`));
    await page.reads(new RegExp(`^${other} echoes over notes$`));
  }
  await eve.meets(["Ada", "Bob"], "direct");
  await eve.says("hello both");
  await ada.reads(/^Eve says: hello both$/);
  await bob.reads(/^Eve says: hello both$/);
  await bob.leaves();
  await ada.reads(/^Bob is gone: left$/);
  await eve.meets(["Ada"], "direct");
});

scenario("a Rust program in a page sends more than fits at once", async (stage) => {
  const ada = await visitEcho(stage, "wasm-much", "Ada");
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "wasm-elsewhere", "Bob");
  await bob.saysMuch(stage.server, "wasm-much", "Ada", 200, 50_000);
  const said = (await ada.lines()).flatMap((line) => line.match(/^guest says: (\d+) x/) ?? []);
  assert.deepEqual(said.filter((_, at) => at % 2 === 1).map(Number), [...Array(200).keys()]);
});

scenario("a Rust program in a page does without WebSockets", async (stage) => {
  const ada = await visitEcho(stage, "wasm-blocked", "Ada", { webSockets: false });
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "wasm-blocked", "Bob");
  await ada.reads(/^Bob echoes: /);
  await bob.reads(/^Ada echoes: /);
  await ada.leaves();
  await bob.reads(/^Ada is gone: left$/);
});

scenario("Rust programs in pages find each other by tickets", async (stage) => {
  const ada = await visitEcho(stage, "", "Ada", { match: "echo-1" });
  const bob = await visitEcho(stage, "", "Bob", { match: "echo-1", webSockets: false });
  await ada.reads(/^Bob echoes: /);
  await bob.reads(/^Ada echoes: /);
});

scenario("a Rust program in a page that finds no server says so", async (stage) => {
  await stage.server.end("SIGKILL");
  const ada = await visitEcho(stage, "wasm-nobody", "Ada");
  await ada.reads(/^can't reach 127\.0\.0\.1:\d+: .* is the server running/);
});

scenario("a Rust program in a page restarts ICE when its network is another one", async (stage) => {
  const ada = await visitEcho(stage, "wasm-network", "Ada");
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "wasm-network", "Bob");
  await ada.reads(/^Bob echoes: /);
  await bob.reads(/^Ada echoes: /);
  for (const [page, other, text] of [
    [ada, bob, "from here"],
    [bob, ada, "from there"],
  ]) {
    await page.changesNetwork();
    await page.says(text);
    await other.reads(new RegExp(`^${page.name} says: ${text}$`));
    assert.deepEqual(await page.connections(), { made: 1, open: 1 });
  }
});

scenario("Rust programs in pages stay linked while the server is restarted", async (stage) => {
  const ada = await visitEcho(stage, "wasm-restart", "Ada");
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "wasm-restart", "Bob");
  await ada.reads(/^Bob echoes: /);
  await stage.server.end("SIGKILL");
  await ada.reads(/^server lost: /);
  await ada.says("no server between us");
  await ada.reads(/^Bob echoes: no server between us$/);
  stage.add(await startServer({ port: stage.server.port }));
  await ada.reads(/^server back, joined anew as /);
  await bob.reads(/^server back, joined anew as /);
  await ada.reads(/^Bob has joined anew$/);
  await bob.reads(/^Ada has joined anew$/);
  await bob.says("and on we go");
  await ada.reads(/^Bob says: and on we go$/);
  assert.deepEqual(await ada.connections(), { made: 1, open: 1 });
  assert.deepEqual(await bob.connections(), { made: 1, open: 1 });
  await bob.page.close();
  await ada.reads(/^Bob is gone: left$/);
});

scenario("a Rust program in a page that was left leaves nothing behind", async (stage) => {
  const ada = await visitEcho(stage, "wasm-leaks", "Ada");
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "wasm-leaks", "Bob");
  await ada.reads(/^Bob connected/);
  await bob.leaves();
  const before = await bob.comesAndGoes(stage.server, "wasm-leaks", "Ada", 10);
  const after = await bob.comesAndGoes(stage.server, "wasm-leaks", "Ada", 40);
  const { made, open } = await bob.connections();
  assert.equal(open, 0);
  assert.ok(made > 50, `${made} connections were made`);
  assert.deepEqual(after, before);
});
