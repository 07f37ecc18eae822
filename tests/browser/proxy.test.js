// Pages behind nginx, set up as docs/proxies/nginx-tls.conf says: TLS, and a path of their own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { certificate, scenario, startBrowser, visit } from "./support.js";

scenario("pages behind nginx, with TLS and under a path, meet", async ({ server }) => {
  const { folder, cert, key } = certificate();
  const port = await freePort();
  const file = join(folder, "nginx.conf");
  const documented = new URL("../../docs/proxies/nginx-tls.conf", import.meta.url);
  const edits = [
    ["127.0.0.1:8080;", `127.0.0.1:${server.port};`],
    ["listen 443", `listen 127.0.0.1:${port}`],
    ["/etc/ssl/fullchain.pem", cert],
    ["/etc/ssl/privkey.pem", key],
  ];
  let text = readFileSync(documented, "utf8");
  for (const [theirs, ours] of edits) {
    if (!text.includes(theirs)) throw new Error(`${theirs} is not in ${documented}`);
    text = text.replace(theirs, ours);
  }
  writeFileSync(file, text);
  const globals = `daemon off; master_process off; pid ${join(folder, "pid")};`;
  const command = ["--pdeathsig", "KILL", "nginx", "-c", file, "-e", "stderr", "-g", globals];
  const nginx = spawn("setpriv", command, { stdio: "inherit" });
  const ended = once(nginx, "exit");
  const browser = await startBrowser("--ignore-certificate-errors");
  try {
    const site = { page: `https://127.0.0.1:${port}/meet/` };
    const ada = await visit(browser, site, "behind", { name: "Ada" });
    const ben = await visit(browser, site, "behind", { name: "Ben" });
    await ada.meets(["Ben"]);
    await ada.says("through nginx");
    await ben.reads("Ada", "through nginx");
  } finally {
    await browser.close();
    nginx.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true });
  }
});

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}
