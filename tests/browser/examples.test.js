// The examples in examples/browser, as `heliograph --page examples/browser` serves them.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { scenario, screenshots, startBrowser, startServer } from "./support.js";

const EXAMPLES = resolve(import.meta.dirname, "../../examples/browser");
const PATIENCE = { timeout: 30_000 };

/** A camera and a microphone that browsers make up, and nobody asks whether they may be used. */
const FAKE_MEDIA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];

const folder = screenshots();

async function startExamples(add) {
  return add(await startServer({ flags: ["--page", EXAMPLES] }));
}

/** Opens an example in a window of its own; what goes wrong in it is kept. */
async function open(browser, server, path, size = { width: 1000, height: 700 }) {
  const own = await browser.newContext({ viewport: size, acceptDownloads: true });
  const page = await own.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.stack));
  page.on("console", (message) => {
    if (message.type() === "error") page.problems.push(message.text());
  });
  await page.goto(`${server.page}${path}`);
  return page;
}

async function shot(page, name) {
  await page.screenshot({ path: join(folder, `example-${name}.png`) });
}

scenario("the examples are listed", async ({ add, browser }) => {
  const server = await startExamples(add);
  const page = await open(browser, server, "");
  await shot(page, "list");
  for (const name of ["call", "game", "files"]) {
    await page.click(`a[href="${name}/"]`);
    await page.waitForURL(new RegExp(`/${name}/#.`), PATIENCE);
    await page.goto(server.page);
  }
  assert.deepEqual(page.problems, []);
});

scenario("call: three see and hear each other, mute, and hang up", async ({ add }) => {
  const server = await startExamples(add);
  const browser = await startBrowser(...FAKE_MEDIA);
  add({ stop: () => browser.close() });
  const [ada, ben, cleo] = await Promise.all(
    [1, 2, 3].map(() => open(browser, server, "call/#stand-up")),
  );
  for (const page of [ada, ben, cleo]) await page.click("#join");
  for (const page of [ada, ben, cleo]) {
    await page.waitForFunction(
      () => document.querySelectorAll('.tile[data-path="direct"]').length === 2,
      null,
      PATIENCE,
    );
    const decodesBoth = (most) => {
      const videos = [...document.querySelectorAll(".tile[data-peer] video")];
      const frames = videos.map((video) => video.getVideoPlaybackQuality().totalVideoFrames);
      const isHeard = ({ srcObject, paused }) => !paused && srcObject.getAudioTracks().length === 1;
      return frames.length === 2 && Math.min(...frames) > most && videos.every(isHeard);
    };
    await page.waitForFunction(decodesBoth, 10, PATIENCE);
  }
  await ben.click("#mute");
  await ben.click("#camera");
  const isMuted = () =>
    document.querySelectorAll('[data-peer][data-silent="true"][data-dark="true"]').length === 1;
  await ada.waitForFunction(isMuted, null, PATIENCE);
  await shot(ada, "call");
  await ben.click("#hang-up");
  const areTwo = () => document.querySelectorAll(".tile").length === 2;
  await ada.waitForFunction(areTwo, null, PATIENCE);
  await cleo.waitForFunction(areTwo, null, PATIENCE);
  assert.equal(await ben.textContent("#status"), "You have left the call.");
  for (const page of [ada, ben, cleo]) assert.deepEqual(page.problems, []);
});

/** The rows of the game's table: player, suns, latency, loss, rate. */
const table = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("#players tr")].map((row) =>
      [...row.cells].map(({ textContent }) => textContent),
    ),
  );

scenario("game: positions come 60 times a second, and a sun is caught once", async (stage) => {
  const server = await startExamples(stage.add);
  const [ada, ben] = await Promise.all([1, 2].map(() => open(stage.browser, server, "game/#dusk")));
  for (const page of [ada, ben]) {
    await page.waitForFunction(
      () =>
        parseInt(document.querySelector("#players tr:nth-child(2) td:nth-child(5)")?.textContent) >
        40,
      null,
      PATIENCE,
    );
    const [, [, , latency, loss]] = await table(page);
    assert.match(latency, /^\d+(\.\d)? ms$/);
    assert.match(loss, /^\d+\.\d %$/);
  }
  await shot(ada, "game");
  const suns = async (page) => (await table(page)).map(([, suns]) => Number(suns));
  const total = async (page) => (await suns(page)).reduce((sum, one) => sum + one, 0);
  const box = await ada.locator("#field").boundingBox();
  // Across the field, line by line, until the sun was on the way.
  for (let line = 0; line <= 20 && (await total(ada)) === 0; line += 1) {
    const y = box.y + (box.height * (line % 2 === 0 ? line : 20 - line)) / 20;
    for (const x of [1, box.width - 1]) {
      await ada.mouse.move(box.x + x, Math.min(box.y + box.height - 1, Math.max(box.y + 1, y)));
      await ada.waitForTimeout(1600);
    }
  }
  await ada.waitForTimeout(1000);
  assert.ok((await total(ada)) > 0, "no sun was caught");
  assert.equal(await total(ben), await total(ada), "both see the same score");
  for (const page of [ada, ben]) assert.deepEqual(page.problems, []);
});

scenario("files: 20 MB arrive whole at two receivers, and a third declines", async (stage) => {
  const made = mkdtempSync(join(tmpdir(), "heliograph-files-"));
  stage.add({ stop: () => rmSync(made, { recursive: true }) });
  const bytes = randomBytes(20_000_000);
  const path = join(made, "a picture.bin");
  writeFileSync(path, bytes);
  const server = await startExamples(stage.add);
  const [ada, ...others] = await Promise.all(
    [1, 2, 3, 4].map(() => open(stage.browser, server, "files/#box")),
  );
  await ada.waitForFunction(
    () => document.getElementById("status").textContent === "3 others are here.",
    null,
    PATIENCE,
  );
  await ada.setInputFiles("#file", path);
  const [ben, cleo, dan] = others;
  await dan.click(".acts .quiet", PATIENCE);
  const wanted = createHash("sha256").update(bytes).digest("hex");
  for (const page of [ben, cleo]) await page.click(".acts .accept", PATIENCE);
  for (const page of [ben, cleo]) {
    await page.waitForSelector('.card[data-state="whole"] a.button', { timeout: 90_000 });
    const came = await page.evaluate(async () => {
      const link = document.querySelector(".acts a.button");
      const digest = await crypto.subtle.digest(
        "SHA-256",
        await (await fetch(link.href)).arrayBuffer(),
      );
      const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0"));
      return { name: link.download, sha256: hex.join("") };
    });
    assert.deepEqual(came, { name: "a picture.bin", sha256: wanted });
  }
  const ends = () =>
    [...document.querySelectorAll("#transfers .card")].map((card) => card.dataset.state).sort();
  await ada.waitForFunction(
    () => document.querySelectorAll("[data-state]").length === 3,
    null,
    PATIENCE,
  );
  assert.deepEqual(await ada.evaluate(ends), ["declined", "whole", "whole"]);
  await shot(ada, "files");
  for (const page of [ada, ...others]) assert.deepEqual(page.problems, []);
});
