import { visitEcho } from "./echo.js";
import { scenario } from "./support.js";
scenario("dbg", async (stage) => {
  const ada = await visitEcho(stage, "w", "Ada");
  await ada.reads(/^in room/);
  const bob = await visitEcho(stage, "w", "Bob");
  await new Promise((r) => setTimeout(r, 12000));
  console.error(await ada.lines(), ada.problems, bob.problems);
  const got = (await bob.lines()).map((l) => l.slice(0, 40));
  const n = got.flatMap((l) => l.match(/echoes: (\d+)-(\d+) x/)?.[0] ?? []);
  console.error(n.length, new Set(n).size, got.filter((l) => !/echoes/.test(l)));
  const per = {}; for (const l of n) { const k = l.match(/: (\d+)-/)[1]; per[k] = (per[k] ?? 0) + 1; } console.error(per);
});
