// The JSON texts that our clients exchange over their data channels; unknown fields and broken
// messages are ignored.

import { CHAT_LENGTH_MAX, NAME_LENGTH_MAX, cleanText } from "./names.js";

/** Longer messages aren't read. */
const MESSAGE_LENGTH_MAX = 16 * 1024;

const decoder = new TextDecoder();

/** One of `{ chat }`, `{ name }`, `{ seat }` from a reliable channel, or `null`. */
export function readReliable(data) {
  const message = parse(data);
  if (!message) return null;
  const chat = cleanText(message.chat, CHAT_LENGTH_MAX);
  if (chat) return { chat };
  const name = cleanText(message.name, NAME_LENGTH_MAX);
  if (name) return { name };
  if (typeof message.seat === "string") return { seat: message.seat };
  return null;
}

/** A position `{ x, y, n, t }` from a lossy channel, or `null`. */
export function readMotion(data) {
  const message = parse(data);
  if (!message) return null;
  const { x, y, n, t } = message;
  if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
  if (!Number.isSafeInteger(n) || n < 0) return null;
  return { x: clamp(x), y: clamp(y), n, t: Number.isFinite(t) ? t : null };
}

/** A position as it is sent: four digits are finer than any screen. */
export function writeMotion({ x, y, n, t }) {
  return JSON.stringify({ x: Number(x.toFixed(4)), y: Number(y.toFixed(4)), n, t: Math.round(t) });
}

function parse(data) {
  const text = typeof data === "string" ? data : decoder.decode(data);
  if (text.length > MESSAGE_LENGTH_MAX) return null;
  try {
    const message = JSON.parse(text);
    return message !== null && typeof message === "object" ? message : null;
  } catch {
    return null;
  }
}

function clamp(value) {
  return Math.min(1, Math.max(0, value));
}
