// Opens our page in a browser and prints what examples/data_channel.rs prints: "in room", and how
// it was connected; again if that has changed when messages came, which is its end. Runs inside a
// host of the lab.
//
//   node browser.mjs PAGE ROOM NAME

import { startBrowser, visit } from "../browser/support.js";

/** Messages after which there has been an exchange. */
const MESSAGES = 40;

/** For so long the other side goes on to get its own. */
const LINGER_MS = 500;

const [page, room, name] = process.argv.slice(2);
// The certificate of a world is signed by nobody.
const browser = await startBrowser("--ignore-certificate-errors");
const visitor = await visit(browser, { page }, room, { name, ignoreHTTPSErrors: true });
await visitor.until("a seat", ({ status }) => status === "online");
console.log(`in room ${room} at ${page} as ${name}`);
const line = ({ people: [other] }) =>
  `${other.name} connected: ${other.path} (${other.local} to ${other.remote})`;
const first = line(await visitor.until("a connection", ({ people: [other] }) => other?.path));
console.log(first);
const last = await visitor.until("messages", ({ people: [other] }) => !other || other.received >= MESSAGES);
// Chromium takes what works first, and what is better when it works: a relay for half a second.
if (last.people[0]?.path && line(last) !== first) console.log(line(last));
await new Promise((done) => setTimeout(done, LINGER_MS));
await browser.close();
