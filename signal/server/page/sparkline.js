// A small picture of arrivals: one bar for each tenth of a second, what came below, what is missing
// above it.

/** A bar is full at this many packets: 60 Hz and a little more. */
const FULL = 8;

/** Draws slices of `{ came, missed }` with the colors of the canvas's own style. */
export function drawSparkline(canvas, slices) {
  const ratio = Math.min(2, devicePixelRatio);
  const width = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const lost = style.getPropertyValue("--lost");
  context.clearRect(0, 0, width, height);
  const step = width / slices.length;
  slices.forEach(({ came, missed }, i) => {
    const cameHeight = (Math.min(came, FULL) / FULL) * height;
    const missedHeight = Math.min(missed / FULL, 1) * height;
    context.fillStyle = style.color;
    context.fillRect(i * step, height - cameHeight, step - ratio, cameHeight);
    context.fillStyle = lost;
    context.fillRect(i * step, height - cameHeight - missedHeight, step - ratio, missedHeight);
  });
}
