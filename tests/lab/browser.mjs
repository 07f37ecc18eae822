// Opens our page in a browser and prints what examples/data_channel.rs prints: "in room", and how
// it was connected. Ends when messages came. Runs inside a host of the lab.
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
const { people } = await visitor.until("a connection", ({ people: [other] }) => other?.path);
const [{ name: other, path, local, remote }] = people;
console.log(`${other} connected: ${path} (${local} to ${remote})`);
await visitor.until("messages", ({ people: [other] }) => !other || other.received >= MESSAGES);
await new Promise((done) => setTimeout(done, LINGER_MS));
await browser.close();
