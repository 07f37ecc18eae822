// What a page does when the world under it changes: the server goes, the policy switches, the room
// is another.

import assert from "node:assert/strict";
import { only, scenario, startServer } from "./support.js";

for (const signal of ["SIGTERM", "SIGKILL"]) {
  scenario(
    `links stay open while the server is away after ${signal}, and go on when it is back`,
    (stage) => restart(stage, signal),
  );
}

async function restart({ visit, server, add }, signal) {
  const ada = await visit("restart", { name: "Ada" });
  const ben = await visit("restart", { name: "Ben" });
  const pair = [ada, ben];
  await Promise.all([ada.meets(["Ben"], "direct"), ben.meets(["Ada"], "direct")]);

  const code = await server.end(signal);
  assert.equal(code, signal === "SIGTERM" ? 0 : null);
  for (const one of pair) {
    const seen = await one.until(
      "the server is away",
      ({ status }) => status === "waiting" || status === "connecting",
    );
    assert.equal(only(seen).state, "connected");
  }
  const before = only(await ben.sees()).received;
  await ada.says("no server between us");
  await ben.reads("Ada", "no server between us");
  await ben.until("positions still come", (seen) => only(seen).received > before + 60);
  for (const one of pair) assert.deepEqual((await one.sees()).links, { made: 1, closed: 0 });

  add(await startServer({ port: server.port }));
  for (const one of pair) {
    await one.comesBack();
  }
  // Each knows the other under the new seat: one row, connected, no gap in the chat.
  for (const one of pair) {
    const other = pair.find((each) => each !== one).name;
    await one.until(
      "a seat again",
      ({ people }) =>
        people.length === 1 &&
        people[0].seat !== "" &&
        people[0].state === "connected" &&
        people[0].trouble === "",
    );
    await one.meets([other]);
  }
  for (const one of pair) assert.deepEqual((await one.sees()).links, { made: 1, closed: 0 });
  await ben.says("and on we go");
  const seen = await ada.reads("Ben", "and on we go");
  assert.equal(
    seen.chat.filter((line) => line === "Ben is here.").length,
    1,
    "the reunion is no second arrival",
  );
}

scenario("the page says when it will try to reconnect", async ({ visit, server }) => {
  const ada = await visit("waiting", { name: "Ada" });
  await ada.until("online", ({ status }) => status === "online");
  await server.stop();
  const seen = await ada.until("a countdown", ({ statusText }) =>
    /Reconnecting in \d+ s\./.test(statusText),
  );
  assert.equal(await ada.page.isVisible("#retry"), true, seen.statusText);
});

scenario(
  "the switch to relay only moves an open pair to the relay, and back",
  async ({ visit }) => {
    const ada = await visit("switch", { name: "Ada" });
    const ben = await visit("switch", { name: "Ben" });
    await Promise.all([ada.meets(["Ben"], "direct"), ben.meets(["Ada"], "direct")]);

    await ada.page.click("label.switch:has(#relay)");
    for (const seen of [await ada.meets(["Ben"], "relayed"), await ben.meets(["Ada"], "relayed")]) {
      assert.equal(only(seen).badge, "Relayed");
    }
    await ada.says("by the tower");
    await ben.reads("Ada", "by the tower");

    await ada.page.click("label.switch:has(#relay)");
    await Promise.all([ada.meets(["Ben"], "direct"), ben.meets(["Ada"], "direct")]);
    const { chat } = await ben.sees();
    assert.deepEqual(chat, ["Ada is here.", "Ada by the tower"], "nobody left or came meanwhile");
  },
);

scenario(
  "the switch to relay only waits for a server that is away, and cuts no link meanwhile",
  async ({ visit, server, add }) => {
    const ada = await visit("later", { name: "Ada" });
    const ben = await visit("later", { name: "Ben" });
    await Promise.all([ada.meets(["Ben"], "direct"), ben.meets(["Ada"], "direct")]);
    await server.end("SIGKILL");
    await ada.until("the server is away", ({ status }) => status !== "online");
    await ada.page.click("label.switch:has(#relay)");
    await ada.says("still directly");
    const seen = await ben.reads("Ada", "still directly");
    assert.deepEqual(seen.links, { made: 1, closed: 0 });

    add(await startServer({ port: server.port }));
    await Promise.all([ada.comesBack(), ben.comesBack()]);
    await Promise.all([ada.meets(["Ben"], "relayed"), ben.meets(["Ada"], "relayed")]);
    await ben.says("by the tower");
    await ada.reads("Ben", "by the tower");
  },
);

scenario("a page says why somebody isn't reached, and what to do", async ({ visit }) => {
  const ada = await visit("why", { name: "Ada", relayOnly: true, relayBy: "no such relay" });
  const ben = await visit("why", { name: "Ben" });
  const [mine, theirs] = await Promise.all(
    [ada, ben].map((one) => one.until("a diagnosis", ({ people }) => people[0]?.trouble, 60_000)),
  );
  assert.match(only(mine).trouble, /^This side: may only use a relay, but has none\. \S/);
  assert.match(only(theirs).trouble, /^Ada: may only use a relay, but has none\. \S/);
});

scenario("a page that one goes back to is in its room again, with all its links", async (stage) => {
  const { visit } = stage;
  const ada = await visit("back", { name: "Ada" });
  const ben = await visit("back", { name: "Ben" });
  await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
  await ada.page.evaluate(() => {
    addEventListener("pageshow", ({ persisted }) => (window.persisted = persisted));
    document.querySelector(".foot a").click();
  });
  await ada.page.waitForURL("**/check");
  await ben.until("Ada has left", ({ people }) => people.length === 0, 5000);
  await ada.page.evaluate(() => history.back());
  await ada.page.waitForFunction(() => window.persisted !== undefined);
  assert.equal(await ada.page.evaluate(() => window.persisted), true, "it wasn't loaded anew");
  await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
  await ada.says("here again");
  const { chat } = await ben.reads("Ada", "here again");
  assert.deepEqual(chat, ["Ada is here.", "Ada left.", "Ada is here.", "Ada here again"]);
  const mine = (await ada.sees()).chat;
  assert.ok(!mine.includes("Ben left."), JSON.stringify(mine));
});

scenario("another room in the address bar is another room on the page", async ({ visit }) => {
  const ada = await visit("first", { name: "Ada" });
  const ben = await visit("first", { name: "Ben" });
  await Promise.all([ada.meets(["Ben"]), ben.meets(["Ada"])]);
  await ben.page.evaluate(() => (location.hash = "second"));
  await ada.until("Ben has left", ({ people }) => people.length === 0, 5000);
  assert.equal(await ben.page.textContent("#room"), "second");
});

scenario(
  "a page without a room in its link makes one up and shows it",
  async ({ visit, server }) => {
    const ada = await visit("", { name: "Ada" });
    await ada.until("online", ({ status }) => status === "online");
    const room = await ada.page.textContent("#room");
    assert.match(room, /^[a-z]+-[a-z]+-\d{3}$/);
    assert.equal(ada.page.url(), `${server.page}#${room}`);
  },
);
