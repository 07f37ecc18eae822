// What a page does when its line to the server breaks: the session goes on, and no link notices.

import assert from "node:assert/strict";
import { Line, only, scenario, visit } from "./support.js";

const OFFLINE = ({ status }) => status !== "online";

function named({ people }, name) {
  return people.find((one) => one.name === name);
}

/** Ada, who comes by a line of her own, and Ben, linked. */
async function pair({ browser, server, add, visit: come }, room) {
  const line = add(await Line.to(server));
  const ada = await visit(browser, line, room, { name: "Ada" });
  const ben = await come(room, { name: "Ben" });
  await Promise.all([ada.meets(["Ben"], "direct"), ben.meets(["Ada"], "direct")]);
  return { line, ada, ben };
}

scenario("a page resumes after a cut, and gets once what was sent meanwhile", async (stage) => {
  const { line, ada, ben } = await pair(stage, "cut");
  const seats = [only(await ada.sees()).seat, only(await ben.sees()).seat];

  line.cut();
  await ada.until("the server is away", OFFLINE);
  const away = await ben.until("Ada is away", (seen) => only(seen).away);
  assert.match(only(away).trouble, /link between you two is still open/);
  await ada.says("off the line");
  await ben.reads("Ada", "off the line");
  // Her offers and candidates wait for Ada.
  const cleo = await stage.visit("cut", { name: "Cleo" });
  await cleo.until("Ben", ({ people }) => people.some(({ name, path }) => name === "Ben" && path));
  assert.equal(named(await cleo.sees(), "Ada").away, true);
  assert.equal((await ada.sees()).people.length, 1, "nobody tells her");

  line.mend();
  await ada.comesBack();
  await ada.meets(["Ben", "Cleo"], "direct");
  await cleo.meets(["Ada", "Ben"], "direct");
  const back = await ben.until("Ada is back", (seen) => !named(seen, "Ada").away);
  assert.equal(named(back, "Ada").trouble, "");
  const seen = await ada.sees();
  assert.deepEqual([named(seen, "Ben").seat, named(back, "Ada").seat], seats, "the same seats");
  for (const one of [ada, ben, cleo])
    assert.deepEqual((await one.sees()).links, { made: 2, closed: 0 }, one.name);
  assert.deepEqual(
    seen.chat.filter((line) => line === "Cleo is here."),
    ["Cleo is here."],
  );
  assert.ok(
    back.chat.every((line) => !/left|gone|lost/.test(line)),
    JSON.stringify(back.chat),
  );
});

scenario("a short cut disturbs nobody, however often", async (stage) => {
  const { line, ada, ben } = await pair(stage, "short-cuts");
  for (let i = 0; i < 5; i += 1) {
    line.cut();
    line.mend();
    await ada.until("a reconnect", OFFLINE, 3000).catch(() => {}); // It may be quicker than we look.
    await ada.comesBack();
  }
  for (const one of [ada, ben]) {
    const seen = await one.sees();
    assert.equal(only(seen).state, "connected");
    assert.deepEqual(seen.links, { made: 1, closed: 0 });
  }
  await ada.says("still the same");
  await ben.reads("Ada", "still the same");
});

scenario("a page gives up a line that is silently dead, and doesn't leave by it", async (stage) => {
  const { line, ada, ben } = await pair(stage, "silence");
  const seat = only(await ben.sees()).seat;
  line.stall();
  await ada.until("the server is away", OFFLINE);
  await ada.comesBack();
  const seen = await ben.until("Ada is there", (now) => !only(now).away);
  assert.equal(only(seen).seat, seat);
  assert.deepEqual(seen.links, { made: 1, closed: 0 });
  assert.ok(seen.chat.every((each) => !/left|gone|lost/.test(each)));
});

scenario("who stays away loses the seat, but no link", async (stage) => {
  const { line, ada, ben } = await pair(stage, "grace");
  line.cut();
  await ben.until("Ada has no seat", (seen) => only(seen).seat === "", 60_000);
  assert.equal(only(await ben.sees()).state, "connected");
  await ada.says("still linked");
  await ben.reads("Ada", "still linked");
  line.mend();
  await ada.comesBack();
  for (const [one, other] of [
    [ada, "Ben"],
    [ben, "Ada"],
  ]) {
    await one.until("a seat", (seen) => only(seen).seat !== "" && only(seen).trouble === "");
    await one.meets([other], "direct");
  }
  await ada.says("on a new seat");
  await ben.reads("Ada", "on a new seat");
  for (const one of [ada, ben])
    assert.deepEqual((await one.sees()).links, { made: 1, closed: 0 }, "it is the same link");
});
