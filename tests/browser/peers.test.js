// Pages that meet through the binary: paths, chat, lossy state, leaving.

import assert from "node:assert/strict";
import { only, scenario } from "./support.js";

scenario("two pages connect directly and say so", async ({ visit }) => {
  const ada = await visit("direct", { name: "Ada" });
  const ben = await visit("direct", { name: "Ben" });
  for (const seen of [await ada.meets(["Ben"], "direct"), await ben.meets(["Ada"], "direct")]) {
    assert.equal(seen.status, "online");
    assert.equal(only(seen).badge, "Direct");
    assert.notEqual(only(seen).local, "relay");
    assert.notEqual(only(seen).remote, "relay");
    assert.match(only(seen).rtt, /^\d+(\.\d)? ms$/);
  }
  assert.deepEqual([...ada.problems, ...ben.problems], []);
});

scenario(
  "two pages that allow the relay only connect through it, at both ends",
  async ({ visit }) => {
    const ada = await visit("relayed", { name: "Ada", relayOnly: true });
    const ben = await visit("relayed", { name: "Ben", relayOnly: true });
    for (const seen of [await ada.meets(["Ben"], "relayed"), await ben.meets(["Ada"], "relayed")]) {
      assert.equal(only(seen).badge, "Relayed");
      assert.equal(only(seen).local, "relay");
      assert.equal(only(seen).remote, "relay");
    }
    await ada.says("over the relay");
    await ben.reads("Ada", "over the relay");
  },
);

scenario("chat goes both ways, in order", async ({ visit }) => {
  const ada = await visit("chat", { name: "Ada" });
  const ben = await visit("chat", { name: "Ben" });
  await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
  const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
  for (const line of lines) await ada.says(line);
  const seen = await ben.reads("Ada", "line 19");
  assert.deepEqual(
    seen.chat.filter((line) => line.startsWith("Ada line")),
    lines.map((line) => `Ada ${line}`),
  );
  await ben.says("answer");
  await ada.reads("Ben", "answer");
});

scenario(
  "positions flow over the lossy channel, and lost ones are counted and don't hold up the rest",
  async ({ visit }) => {
    const ada = await visit("lossy", { name: "Ada" });
    const ben = await visit("lossy", { name: "Ben" });
    await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
    const before = only(await ben.until("60 positions", (seen) => only(seen).received >= 60));
    await ada.page.fill("#drop", "50");
    const seen = await ben.until("half of the positions lost", (now) => {
      const { received, lost } = only(now);
      return (
        received >= before.received + 60 && lost >= before.lost + 60 && only(now).loss !== "0.0 %"
      );
    });
    assert.match(only(seen).loss, /^\d+\.\d %$/);
    // The other way nothing was lost on purpose.
    const back = only(await ada.sees());
    assert.ok(back.received > 60 && back.lost < back.received / 10, JSON.stringify(back));
  },
);

scenario("three pages in a room are all connected to each other", async ({ visit }) => {
  const names = ["Ada", "Ben", "Cleo"];
  const pages = [];
  for (const name of names) pages.push(await visit("mesh", { name }));
  for (const page of pages) await page.meets(names.filter((name) => name !== page.name));
  for (const page of pages) await page.says(`I am ${page.name}`);
  for (const page of pages) {
    for (const name of names.filter((other) => other !== page.name))
      await page.reads(name, `I am ${name}`);
  }
});

scenario("a page that is closed is announced at once", async ({ visit }) => {
  const ada = await visit("leaving", { name: "Ada" });
  const ben = await visit("leaving", { name: "Ben" });
  await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
  await ben.page.close();
  const seen = await ada.until("Ben has left", ({ people }) => people.length === 0, 3000);
  assert.ok(
    seen.chat.includes("Ben left."),
    JSON.stringify(seen.chat),
  );
});

scenario("pages in different rooms don't see each other", async ({ visit }) => {
  const ada = await visit("here", { name: "Ada" });
  const ben = await visit("there", { name: "Ben" });
  const cleo = await visit("there", { name: "Cleo" });
  await Promise.all([ben.meets(["Cleo"]), cleo.meets(["Ben"])]);
  assert.deepEqual((await ada.sees()).people, []);
});

scenario("markup in a chat line or a name is shown as text", async ({ visit }) => {
  const markup = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
  const ada = await visit("hostile", { name: "<b>Ada</b>" });
  const ben = await visit("hostile", { name: "Ben" });
  await ben.meets(["<b>Ada</b>"]);
  await ada.meets(["Ben"]);
  await ada.says(markup);
  await ben.reads("<b>Ada</b>", markup);
  for (const { page } of [ada, ben]) {
    assert.equal(await page.locator("#log img, #log script, #log b, #peers b").count(), 0);
    assert.equal(await page.title(), "hostile · Heliograph");
  }
});

scenario(
  "a new name is seen by those who are here and by those who come later",
  async ({ visit }) => {
    const ada = await visit("names", { name: "Ada" });
    const ben = await visit("names", { name: "Ben" });
    await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
    await ada.page.fill("#name", "Countess");
    await ada.page.press("#name", "Enter");
    await ben.meets(["Countess"]);
    const cleo = await visit("names", { name: "Cleo" });
    await cleo.meets(["Countess", "Ben"]);
  },
);
