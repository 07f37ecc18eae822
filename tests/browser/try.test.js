import assert from "node:assert/strict";
import { enter } from "./sdk.js";
import { scenario } from "./support.js";
import { startFirefox } from "./firefox.js";
for (const kind of ["direct", "relayed"])
scenario(`firefox ${kind}`, async ({ browser, server }) => {
  const fox = await startFirefox();
  try {
    const opts = kind === "relayed" ? { relayOnly: true } : {};
    const ada = await enter(browser, server, "x", { name: "ada", ...opts });
    let t = Date.now();
    const ben = await enter(fox, server, "x", { name: "ben", ...opts });
    await Promise.all([ada.meets(1, kind), ben.meets(1, kind)]);
    console.log("chromium-firefox", kind, Date.now() - t);
    t = Date.now();
    const cleo = await enter(fox, server, "y", { name: "cleo", ...opts });
    const dan = await enter(fox, server, "y", { name: "dan", ...opts });
    await Promise.all([cleo.meets(1, kind), dan.meets(1, kind)]);
    console.log("ff-ff", kind, Date.now() - t);
  } finally { await fox.close(); }
});
