// The field: everybody's light with its trail, and the lines of sight between them.

const TRAIL_MS = 2500;
const PIXEL_RATIO_MAX = 2;

/** The relay's tower stands here, as shares of the field; its hill is drawn in the page. */
const TOWER = { x: 0.5, y: 0.672 };

/** How far an arrow key moves the light in a second, as a share of the field. */
const KEY_SPEED = 0.6;

/** After this time without a pointer or key the light wanders by itself. */
const IDLE_MS = 4000;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Our own light: where the pointer, the arrow keys or, when nobody moves it, a slow curve leads it.
 */
export class Mover {
  constructor(stage, { still }) {
    this.still = still;
    this.position = { x: 0.2 + Math.random() * 0.6, y: 0.2 + Math.random() * 0.3 };
    this.phase = Math.random() * 1000;
    this.touchedAt = -Infinity;
    this.keys = new Set();
    this.target = null;
    stage.addEventListener("pointermove", (event) => this.#point(stage, event));
    stage.addEventListener("pointerdown", (event) => this.#point(stage, event));
    stage.addEventListener("keydown", (event) => this.#key(event, true));
    stage.addEventListener("keyup", (event) => this.#key(event, false));
    stage.addEventListener("blur", () => this.keys.clear());
  }

  /** The position after `elapsedMs` more. */
  step(now, elapsedMs) {
    const seconds = elapsedMs / 1000;
    for (const key of this.keys) {
      const [dx, dy] = ARROWS[key];
      this.#moveTo(
        this.position.x + dx * KEY_SPEED * seconds,
        this.position.y + dy * KEY_SPEED * seconds,
      );
      this.touchedAt = now;
    }
    if (this.target) this.#ease(this.target, 1 - Math.exp(-seconds / 0.03));
    if (now - this.touchedAt > IDLE_MS && !this.still()) {
      this.target = null;
      this.#ease(this.#wander(now), 1 - Math.exp(-seconds / 0.25));
    }
    return this.position;
  }

  #point(stage, event) {
    const box = stage.getBoundingClientRect();
    this.target = {
      x: (event.clientX - box.left) / box.width,
      y: (event.clientY - box.top) / box.height,
    };
    this.touchedAt = performance.now();
  }

  #key(event, down) {
    if (!(event.key in ARROWS)) return;
    event.preventDefault();
    this.target = null;
    this.touchedAt = performance.now();
    if (down) this.keys.add(event.key);
    else this.keys.delete(event.key);
  }

  #wander(now) {
    const s = now / 1000 + this.phase;
    return { x: 0.5 + 0.38 * Math.sin(s * 0.83), y: 0.36 + 0.25 * Math.sin(s * 1.31 + 1) };
  }

  #ease(to, share) {
    this.#moveTo(
      this.position.x + (to.x - this.position.x) * share,
      this.position.y + (to.y - this.position.y) * share,
    );
  }

  #moveTo(x, y) {
    this.position = { x: Math.min(0.99, Math.max(0.01, x)), y: Math.min(0.98, Math.max(0.02, y)) };
  }
}

/**
 * Draws the field. `scene()` gives `{ me, others, showTwin }`, each light with `light`, `color`,
 * `name`, `path`.
 */
export class Field {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.scene = scene;
    this.colors = {};
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#readColors());
    this.#resize();
    this.#readColors();
    const frame = () => {
      this.#draw(performance.now());
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = Math.min(PIXEL_RATIO_MAX, devicePixelRatio);
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.width = clientWidth;
    this.height = clientHeight;
  }

  #readColors() {
    const style = getComputedStyle(this.canvas);
    for (const name of ["ink", "lost", "core", "plate"])
      this.colors[name] = style.getPropertyValue(`--${name}`).trim();
  }

  #draw(now) {
    const { context } = this;
    context.clearRect(0, 0, this.width, this.height);
    const { me, others, showTwin } = this.scene();
    const lit = others.filter(({ light }) => light.position);
    if (others.some(({ path }) => path === "relayed")) this.#tower();
    for (const other of lit) this.#sight(me, other);
    for (const one of [me, ...lit]) this.#trail(now, one);
    if (showTwin) for (const other of lit) this.#twin(now, other);
    for (const one of [...lit, me]) this.#mirror(now, one);
  }

  #at({ x, y }) {
    return [x * this.width, y * this.height];
  }

  /** A line of sight: straight when direct, over the tower when relayed. */
  #sight(me, { light, path, color }) {
    if (!path) return;
    const { context } = this;
    context.beginPath();
    context.moveTo(...this.#at(me.light.position));
    if (path === "relayed") context.lineTo(...this.#at(TOWER));
    context.lineTo(...this.#at(light.position));
    context.setLineDash(path === "relayed" ? [2, 5] : []);
    context.globalAlpha = 0.4;
    context.lineWidth = 1.25;
    context.strokeStyle = color;
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  #tower() {
    const { context } = this;
    const [x, y] = this.#at(TOWER);
    context.strokeStyle = this.colors.ink;
    context.fillStyle = this.colors.ink;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x - 6, y + 18);
    context.lineTo(x, y);
    context.lineTo(x + 6, y + 18);
    context.moveTo(x - 4, y + 11);
    context.lineTo(x + 4, y + 11);
    context.stroke();
    context.beginPath();
    context.arc(x, y, 2.5, 0, 2 * Math.PI);
    context.fill();
    this.#label("relay", x, y + 32, this.colors.ink);
  }

  #trail(now, { light, color }) {
    const { context } = this;
    for (const point of light.trail) {
      const age = (now - point.at) / TRAIL_MS;
      if (age >= 1) continue;
      const [x, y] = this.#at(point);
      context.globalAlpha = point.lost ? 1 - age * age : 0.85 * (1 - age);
      context.beginPath();
      context.arc(x, y, point.lost ? 3.6 : 2.4 - 1.2 * age, 0, 2 * Math.PI);
      if (point.lost) {
        context.strokeStyle = this.colors.lost;
        context.lineWidth = 1.6;
        context.stroke();
      } else {
        context.fillStyle = color;
        context.fill();
      }
    }
    context.globalAlpha = 1;
  }

  /** Where the light would be on an ordered channel, if that is elsewhere. */
  #twin(now, { light, color }) {
    const twin = light.twin.read(now);
    if (!twin) return;
    const [x, y] = this.#at(twin);
    const [liveX, liveY] = this.#at(light.position);
    if (Math.hypot(x - liveX, y - liveY) < 6) return;
    const { context } = this;
    context.strokeStyle = color;
    context.lineWidth = 1.5;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.stroke();
    context.setLineDash([]);
  }

  #mirror(now, { light, color, name }) {
    const { context } = this;
    const [x, y] = this.#at(light.position);
    const shines = light.shines(now);
    if (shines) this.#halo(x, y);
    context.fillStyle = color;
    star(context, x, y, shines ? 17 : 12, 3.2);
    context.fillStyle = this.colors.core;
    context.beginPath();
    context.arc(x, y, 2.4, 0, 2 * Math.PI);
    context.fill();
    this.#label(name, x, y - 19 < 14 ? y + 28 : y - 19, this.colors.ink);
  }

  /** Sunlight, whoever's mirror it is. */
  #halo(x, y) {
    const { context } = this;
    const glow = context.createRadialGradient(x, y, 0, x, y, 46);
    glow.addColorStop(0, "rgb(255 236 170 / 95%)");
    glow.addColorStop(0.35, "rgb(255 214 110 / 55%)");
    glow.addColorStop(1, "rgb(255 200 80 / 0%)");
    context.fillStyle = glow;
    context.beginPath();
    context.arc(x, y, 46, 0, 2 * Math.PI);
    context.fill();
  }

  #label(text, x, y, color) {
    const { context } = this;
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeStyle = this.colors.plate;
    context.strokeText(text, x, y);
    context.fillStyle = color;
    context.fillText(text, x, y);
  }
}

/** A four-pointed glint. */
function star(context, x, y, outer, inner) {
  context.beginPath();
  for (let i = 0; i < 8; i += 1) {
    const radius = i % 2 === 0 ? outer : inner;
    const angle = (i * Math.PI) / 4 - Math.PI / 2;
    context.lineTo(x + radius * Math.cos(angle), y + radius * Math.sin(angle));
  }
  context.closePath();
  context.fill();
}
