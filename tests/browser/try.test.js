import { execFileSync } from "node:child_process";
import { enter } from "./sdk.js";
import { scenarioOfTwo } from "./support.js";
import { test } from "node:test";
import { startFirefox } from "./firefox.js";
import { startBrowser, startServer } from "./support.js";
test("x", async () => {
  const ip = (...words) => execFileSync("ip", words);
  const init = () => {
    const Native = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Native {
      constructor(config) { super({ ...config, iceServers: [] }); window.pcs = (window.pcs ?? []); window.pcs.push(this); 
        window.log ??= []; const t = performance.now();
        const say = (x) => window.log.push([Math.round(performance.now() - t), x]);
        this.addEventListener("icecandidate", (e) => say(e.candidate?.candidate ?? "end"));
        this.addEventListener("iceconnectionstatechange", () => say(this.iceConnectionState));
        this.addEventListener("connectionstatechange", () => say("c " + this.connectionState));
        this.addEventListener("signalingstatechange", () => say("s " + this.signalingState));
      }
      addIceCandidate(c) { window.log.push("remote " + c?.candidate); return super.addIceCandidate(c); }
    };
  };
  const server = await startServer();
  const fox = await startFirefox(); const chr = await startBrowser();
  try {
  const ada = await enter(fox, server, "s", { name: "ada", init });
  const ben = await enter(chr, server, "s", { name: "ben", init });
  await Promise.all([ada.meets(1), ben.meets(1)]);
    await ada.run((room) => { const [peer] = room.peers.values(); setInterval(() => peer.reliable.send("x"), 50); });
    await new Promise((r) => setTimeout(r, 1000));
    ip("addr", "del", "192.168.77.2/24", "dev", "lan");
    ip("addr", "add", "192.168.78.2/24", "dev", "lan");
    ip("route", "replace", "default", "via", "192.168.78.1", "dev", "lan");
    await ada.page.evaluate(() => window.log.push("CUT"));
    await ben.page.evaluate(() => window.log.push("CUT"));
    await new Promise((r) => setTimeout(r, 20000));
    console.log("ada", JSON.stringify(await ada.page.evaluate(() => window.log), null, 0));
    console.log("ben", JSON.stringify(await ben.page.evaluate(() => window.log), null, 0));
  } finally { 
    ip("addr", "flush", "dev", "lan");
    ip("addr", "add", "192.168.77.2/24", "dev", "lan");
    ip("route", "replace", "default", "via", "192.168.77.1", "dev", "lan");
    await fox.close(); await chr.close(); await server.stop(); }
});
