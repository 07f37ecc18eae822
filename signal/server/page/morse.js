// A chat message as flashes of a mirror, in international Morse code (ITU-R M.1677-1).

const CODE = {
  a: ".-", b: "-...", c: "-.-.", d: "-..", e: ".", f: "..-.", g: "--.", h: "....", i: "..",
  j: ".---", k: "-.-", l: ".-..", m: "--", n: "-.", o: "---", p: ".--.", q: "--.-", r: ".-.",
  s: "...", t: "-", u: "..-", v: "...-", w: ".--", x: "-..-", y: "-.--", z: "--..", 0: "-----",
  1: ".----", 2: "..---", 3: "...--", 4: "....-", 5: ".....", 6: "-....", 7: "--...",
  8: "---..", 9: "----.", ".": ".-.-.-", ",": "--..--", "?": "..--..", "!": "-.-.--",
};

/** One dot. Slow enough to stay under three flashes in a second (WCAG 2.3.1). */
export const UNIT_MS = 170;

/** How many letters of a message are flashed. */
const LETTERS_MAX = 8;

/** The times at which a mirror shines, as `[from, to]` pairs in milliseconds after the start. */
export function flashes(text) {
  const times = [];
  let at = 0;
  const letters = text.toLowerCase().slice(0, LETTERS_MAX);
  for (const letter of letters) {
    if (letter === " ") at += 4;
    for (const mark of CODE[letter] ?? "") {
      const length = mark === "-" ? 3 : 1;
      times.push([at * UNIT_MS, (at + length) * UNIT_MS]);
      at += length + 1;
    }
    at += 2;
  }
  return times;
}
