// A worker that ticks 60 times a second: the timers of a page that isn't looked at are slowed down,
// a worker's aren't.

const INTERVAL_MS = 1000 / 60;
let due = performance.now();

function tick() {
  postMessage(null);
  const now = performance.now();
  due += INTERVAL_MS;
  if (due < now - 10 * INTERVAL_MS) due = now; // The machine slept: don't catch up.
  setTimeout(tick, Math.max(0, due - now));
}

tick();
