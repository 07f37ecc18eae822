// The JSON texts that pages exchange over their channels; unknown fields and broken messages are
// ignored.

import { CHAT_LENGTH_MAX, cleanText } from "./names.js";

/** Longer messages aren't read. */
const MESSAGE_LENGTH_MAX = 16 * 1024;

const decoder = new TextDecoder();

/** What is said in a message of the reliable channel; empty if nothing is. */
export function readChat(data) {
  return cleanText(parse(data)?.chat, CHAT_LENGTH_MAX);
}

/** A chat message as it is sent. */
export function writeChat(text) {
  return JSON.stringify({ chat: text });
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
