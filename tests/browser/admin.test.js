// The operator's page, against the real binary with real visitors in a room.

import assert from "node:assert/strict";
import { join } from "node:path";
import { scenario, screenshots, startServer, visit } from "./support.js";

const TOKEN = "a-token-of-the-tests";

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

/** A server with an admin API, and where its page is. */
async function startAdmin(stage) {
  const flags = ["--admin", "127.0.0.1:0", "--admin-token", TOKEN];
  const server = stage.add(await startServer({ flags }));
  const [, admin] = await server.line(/Admin\s+(http:\/\/\S+)/);
  return Object.assign(server, { admin });
}

/** Opens the operator's page in a window of its own; what goes wrong in it is kept. */
async function operator(stage, server, context = {}) {
  const own = await stage.browser.newContext({ viewport: SIZES.desktop.viewport, ...context });
  const page = await own.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    // The browser itself tells of each answer that is no success.
    const isOwn = !message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && isOwn) page.problems.push(message.text());
  });
  await page.goto(server.admin);
  return page;
}

async function signIn(page, token = TOKEN) {
  await page.fill("#token", token);
  await page.press("#token", "Enter");
}

const tile = (page, name) => page.locator(`[data-tile="${name}"]`);

async function shows(page, name, text) {
  await page.waitForFunction(
    ([name, text]) => document.querySelector(`[data-tile="${name}"]`)?.textContent === text,
    [name, text],
  );
}

/** Two people who talk by the relay only. */
async function relayed(stage, server, room) {
  const ada = await visit(stage.browser, server, room, { name: "Ada", relayOnly: true });
  const ben = await visit(stage.browser, server, room, { name: "Ben", relayOnly: true });
  await ada.meets(["Ben"]);
  await ben.meets(["Ada"]);
  return [ada, ben];
}

/** A room of people who say how they are connected: `links` is how the first is with the others. */
async function reporting(stage, server, room, links) {
  const context = await stage.browser.newContext();
  const page = await context.newPage();
  await page.goto(new URL("/livez", server.page).href); // Of the same origin, and does nothing.
  await page.evaluate(
    async ([room, links]) => {
      const join = (name) =>
        new Promise((resolve) => {
          const socket = new WebSocket(new URL("/v1/ws", location.href.replace("http", "ws")));
          socket.onopen = () => socket.send(JSON.stringify({ type: "hello", room, metadata: { name } }));
          socket.onmessage = ({ data }) => {
            const frame = JSON.parse(data);
            if (frame.type === "welcome") resolve([socket, frame.peer]);
          };
        });
      const [first] = await join("first");
      for (const [at, [state, kind]] of links.entries()) {
        const [, peer] = await join(`other ${at}`);
        const link = { state, path: kind && { kind } };
        first.send(JSON.stringify({ type: "report", peer, link }));
      }
    },
    [room, links],
  );
}

const LINKS = [
  ["connected", "direct"],
  ["connected", "direct"],
  ["connected", "direct"],
  ["connected", "relayed"],
  ["connecting"],
  ["failed"],
];

/** How many pairs the page says are connected in each way. */
const pairs = (page) =>
  page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll("#pairs > div")].map((entry) => [
        entry.dataset.path,
        Number(entry.querySelector("dd").textContent),
      ]),
    ),
  );

for (const [size, context] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"]) {
    scenario(`the operator's page fits a ${size}, ${colorScheme}`, async (stage) => {
      const server = await startAdmin(stage);
      await relayed(stage, server, "copper-ridge-417");
      await visit(stage.browser, server, "quiet-harbour-88", { name: "Cleo" });
      await reporting(stage, server, "windy-mesa-5", LINKS);
      const page = await operator(stage, server, { colorScheme, ...context });
      await page.screenshot({ path: join(folder, `admin-${size}-${colorScheme}-enter.png`) });
      await signIn(page);
      await shows(page, "Rooms", "3");
      await shows(page, "Members", "10");
      await page.click('tr[data-room="copper-ridge-417"] button');
      await page.waitForFunction(() => document.querySelectorAll("#members li").length === 2);
      await page.waitForFunction(() =>
        [...document.querySelectorAll("#members .facts")].every(({ textContent }) =>
          textContent.includes("allocation"),
        ),
      );
      await page.waitForTimeout(6000); // Something for the sparklines to show.
      const picture = join(folder, `admin-${size}-${colorScheme}.png`);
      await page.screenshot({ path: picture, fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `the page is ${overflow} px too wide`);
      const small = await page.evaluate(() =>
        [...document.querySelectorAll("button, input")]
          .filter((control) => control.offsetParent && control.offsetHeight < 32)
          .map((control) => control.id || control.textContent),
      );
      assert.deepEqual(small, [], "controls too small for a finger");
      assert.notEqual(await tile(page, "Relay inside").textContent(), "0 bit/s");
      assert.deepEqual(page.problems, []);
    });
  }
}

scenario("a wrong token opens nothing, and a forgotten one closes the page", async (stage) => {
  const page = await operator(stage, await startAdmin(stage));
  await signIn(page, "not-the-token-of-it");
  await page.waitForSelector("#enter-trouble:not([hidden])");
  assert.equal(await page.isVisible("#board"), false);
  await signIn(page);
  await page.waitForSelector("#board:not([hidden])");
  await page.reload();
  await page.waitForSelector("#board:not([hidden])");
  await page.click("#leave");
  assert.equal(await page.isVisible("#board"), false);
  await page.reload();
  assert.equal(await page.isVisible("#enter"), true);
  assert.deepEqual(page.problems, []);
});

scenario("the page shows how pairs are connected, and of whom in a room", async (stage) => {
  const server = await startAdmin(stage);
  await reporting(stage, server, "windy-mesa-5", LINKS);
  const page = await operator(stage, server);
  await signIn(page);
  await page.waitForFunction(() => document.querySelector("#pairs-count")?.textContent === "6");
  const expected = { direct: 3, relayed: 1, connecting: 1, interrupted: 0, failed: 1 };
  assert.deepEqual(await pairs(page), expected);
  const widths = await page.evaluate(() =>
    [...document.querySelectorAll("#pairs-bar span")].map((part) => part.offsetWidth),
  );
  const [direct, relayed, , interrupted] = widths;
  assert.ok(Math.abs(direct / relayed - 3) < 0.1, `${widths}`);
  assert.equal(interrupted, 0);
  await page.click('tr[data-room="windy-mesa-5"] button');
  await page.waitForFunction(() => document.querySelectorAll("#members li").length === 7);
  const facts = (await page.locator("#members .facts").allTextContents()).map(
    (text) => text.split(" · ")[0],
  );
  assert.equal(facts[0], "3 direct, 1 relayed, 1 connecting, 1 failed");
  assert.deepEqual(facts.slice(1), LINKS.map(([state, kind]) => `1 ${kind ?? state}`));
  assert.deepEqual(page.problems, []);
});

scenario("a kick and a closed room reach the people in it", async (stage) => {
  const server = await startAdmin(stage);
  const [ada, ben] = await relayed(stage, server, "demo");
  const page = await operator(stage, server);
  await signIn(page);
  await page.click('tr[data-room="demo"] button');
  const { people } = await ada.sees();
  await page.click(`#members li[data-peer="${people[0].seat}"] .kick`);
  await page.click("#ask-no");
  assert.equal((await ben.sees()).status, "online", "the operator thought better of it");
  await page.click(`#members li[data-peer="${people[0].seat}"] .kick`);
  await page.click("#ask-yes");
  await ben.until("kicked", ({ status, statusText }) => {
    return status === "ended" && statusText.includes("removed you from the room");
  });
  await ada.until("alone", ({ people }) => people.length === 0);
  // Hers too: there is nobody left whom she would need it for.
  await shows(page, "Allocations", "0");
  await page.click("#close-room");
  await page.click("#ask-yes");
  await ada.until("closed", ({ statusText }) => statusText.includes("closed the room"));
  await page.waitForSelector("#rooms-empty:not([hidden])");
  assert.deepEqual(page.problems, []);
});

scenario("a drain is asked for, shown, and ends the program", async (stage) => {
  const server = await startAdmin(stage);
  const ada = await visit(stage.browser, server, "demo", { name: "Ada" });
  await ada.until("online", ({ status }) => status === "online");
  const page = await operator(stage, server);
  await signIn(page);
  await page.click("#drain");
  await page.fill("#ask-within", "3600");
  await page.fill("#ask-url", "https://other.example.org");
  await page.click("#ask-yes");
  await page.waitForSelector("#ask-trouble:not([hidden])");
  await page.fill("#ask-url", "");
  await page.click("#ask-yes");
  await page.waitForSelector('#status[data-state="draining"]');
  await page.click("#drain");
  await page.fill("#ask-within", "0");
  await page.click("#ask-yes");
  assert.deepEqual((await server.exited)[0], 0, "it ends in order");
  await page.waitForSelector('#status[data-state="lost"]');
});
