// A small picture of the last minutes: one step a second, full at the highest of them.

const STEPS_MAX = 120;

/** The values of one number, and the canvas that shows them. */
export class Sparkline {
  constructor(canvas) {
    this.canvas = canvas;
    this.values = [];
  }

  push(value) {
    this.values.push(value);
    if (this.values.length > STEPS_MAX) this.values.shift();
    this.draw();
  }

  draw() {
    const { canvas, values } = this;
    const ratio = Math.min(2, devicePixelRatio);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) =>
      Math.round(side * ratio),
    );
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    const most = Math.max(...values);
    if (most <= 0) return;
    const step = width / (STEPS_MAX - 1);
    const left = width - (values.length - 1) * step;
    const line = values.map((value, i) => [
      left + i * step,
      height - ratio - (value / most) * (height - 3 * ratio),
    ]);
    context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
    context.lineWidth = 1.5 * ratio;
    context.lineJoin = "round";
    context.beginPath();
    for (const [x, y] of line) context.lineTo(x, y);
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(left, height);
    context.globalAlpha = 0.18;
    context.fill();
    context.globalAlpha = 1;
  }
}
