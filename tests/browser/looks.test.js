// How the page looks on a telephone and a desktop, by day and by night; the pictures are for people
// to judge.

import assert from "node:assert/strict";
import { join } from "node:path";
import { scenario, screenshots } from "./support.js";

const SIZES = {
  phone: {
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
  },
  desktop: { viewport: { width: 1280, height: 800 } },
};

const folder = screenshots();

for (const [size, context] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    scenario(`the page fits a ${size}, ${colorScheme}`, async ({ visit }) => {
      const ada = await visit("copper-ridge-417", { name: "Ada", colorScheme, ...context });
      const ben = await visit("copper-ridge-417", { name: "Ben" });
      const cleo = await visit("copper-ridge-417", { name: "Cleo", relayOnly: true });
      await ada.meets(["Ben", "Cleo"]);
      await ben.meets(["Ada", "Cleo"]);
      await ben.page.fill("#drop", "15");
      await ben.says("Can you see my light?");
      await ada.reads("Ben", "Can you see my light?");
      await ada.says("Clear as day. Yours too, Cleo.");
      await cleo.reads("Ada", "Clear as day. Yours too, Cleo.");
      await cleo.says("By way of the tower, but steady.");
      await ada.reads("Cleo", "By way of the tower, but steady.");
      await ada.until("a trail", ({ people }) => people.every(({ received }) => received > 240));
      await ada.page.screenshot({
        path: join(folder, `${size}-${colorScheme}.png`),
        fullPage: true,
      });

      const overflow = await ada.page.evaluate(
        () => document.documentElement.scrollWidth - innerWidth,
      );
      assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
      const small = await ada.page.evaluate(() =>
        [...document.querySelectorAll("button, input:not([type=checkbox]):not([type=range])")]
          .filter((control) => control.offsetParent && control.offsetHeight < 32)
          .map((control) => control.id || control.textContent),
      );
      assert.deepEqual(small, [], "controls too small for a finger");
    });
  }
}

scenario("the keyboard moves the light, and reaches every control", async ({ visit }) => {
  const ada = await visit("keys", { name: "Ada" });
  await ada.until("online", ({ status }) => status === "online");
  const reached = new Set();
  for (let i = 0; i < 20; i += 1) {
    await ada.page.keyboard.press("Tab");
    reached.add(await ada.page.evaluate(() => document.activeElement.id));
  }
  for (const id of ["copy", "fresh", "stage", "drop", "twin", "relay", "name", "log", "say"]) {
    assert.ok(reached.has(id), `Tab never reached ${id}; it reached ${[...reached]}`);
  }
});

scenario("who asks for less motion sees a light that rests", async ({ visit }) => {
  const ada = await visit("still", { name: "Ada", reducedMotion: "reduce" });
  const ben = await visit("still", { name: "Ben", reducedMotion: "reduce" });
  await ada.meets(["Ben"]);
  await ben.meets(["Ada"]);
  await ada.until("positions", ({ people }) => people[0].received > 60);
  const picture = () => ada.page.locator("#canvas").screenshot();
  await ada.page.waitForTimeout(3000); // Let the trails of the first movement fade.
  const first = await picture();
  await ada.page.waitForTimeout(500);
  assert.ok(first.equals(await picture()), "the field changed although nobody moved");
});
