// Numbers and times as people read them.

const UNITS = ["", "k", "M", "G", "T"];

/** Three digits and a unit: `1.23 k`. */
export function short(number) {
  let unit = 0;
  while (Math.abs(number) >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  const digits = number >= 100 || Number.isInteger(number) ? 0 : number >= 10 ? 1 : 2;
  return unit === 0 ? number.toFixed(digits) : `${number.toFixed(digits)} ${UNITS[unit]}`;
}

/** Bits a second, from bytes a second. */
export function bitrate(bytes) {
  const text = short(bytes * 8);
  return text.includes(" ") ? `${text}bit/s` : `${text} bit/s`;
}

/** Bytes, with a unit. */
export function size(bytes) {
  const text = short(bytes);
  return text.includes(" ") ? `${text}B` : `${text} B`;
}

/** How long something has lasted: `3 d 4 h`, `5 min`. */
export function span(seconds) {
  const [d, h, min, s] = [86_400, 3600, 60, 1].map((unit, i, units) =>
    Math.floor((i === 0 ? seconds : seconds % units[i - 1]) / unit),
  );
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${min} min`;
  return min > 0 ? `${min} min` : `${s} s`;
}

/** How long ago a time in seconds since 1970 was. */
export function ago(since) {
  return span(Math.max(0, Math.round(Date.now() / 1000 - since)));
}
