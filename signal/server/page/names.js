// Names of rooms and people, and the cleaning of text that came from elsewhere.

const PLACES = words(`
  amber aspen basalt beacon cedar chalk cliff cobalt copper coral dune ember fern flint
  granite harbor hazel heath island juniper lantern larch lichen linden marble meadow mesa
  mirror morning ochre olive opal pebble pine quartz saffron silver slate summit thistle
`);
const FORMS = words(`
  bay bluff butte cairn cape coast crest dome dunes fell field ford gate glen gorge heights
  hill hollow knoll ledge lookout moor notch outlook pass peak plateau point ridge rim rock
  saddle shore spire spur station terrace tower vale watch
`);
const PEOPLE = words(`
  Ada Alma Anton Bela Bruno Clara Dara Edda Emil Enzo Farah Fritz Greta Hana Hugo Ida Ines Ivo
  Jonas Juno Kaya Kurt Lena Leo Lucia Mara Milo Nadia Nils Nora Omar Otto Petra Quinn Rana
  Remy Rosa Sami Selma Tilo Uma Vera Viktor Yara Zeno Zoe
`);

export const ROOM_LENGTH_MAX = 64;
export const NAME_LENGTH_MAX = 24;
export const CHAT_LENGTH_MAX = 500;

/** A room name that can be read out over a telephone, such as `copper-ridge-417`. */
export function randomRoom(random = Math.random) {
  const number = 100 + Math.floor(random() * 900);
  return `${pick(PLACES, random)}-${pick(FORMS, random)}-${number}`;
}

/** A first name for somebody who didn't choose one. */
export function randomPerson(random = Math.random) {
  return pick(PEOPLE, random);
}

/**
 * The room id in a link's fragment, in the alphabet of the protocol; empty if nothing of it is
 * usable.
 */
export function roomFromHash(hash) {
  let text = hash.replace(/^#\/?/, "").replace(/\?token=.*$/, "");
  try {
    text = decodeURIComponent(text);
  } catch {
    // A stray percent sign: take the text as it stands.
  }
  return text
    .normalize("NFKD")
    .trim()
    .replace(/\s+/g, "-")
    .replace(/[^A-Za-z0-9._~-]/g, "")
    .slice(0, ROOM_LENGTH_MAX);
}

/** The token in a link's fragment, as in `#demo?token=…`; empty if there is none. */
export function tokenFromHash(hash) {
  return /\?token=([A-Za-z0-9._~+/=-]+)$/.exec(hash)?.[1] ?? "";
}

/**
 * Text from elsewhere, safe to show in one line: no control characters, no switches of writing
 * direction, no blank-only text, and at most `lengthMax` characters. Anything but a string is
 * empty.
 */
export function cleanText(text, lengthMax) {
  if (typeof text !== "string") return "";
  const line = text
    .slice(0, 4 * lengthMax)
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "")
    .trim();
  return Array.from(line).slice(0, lengthMax).join("");
}

function pick(list, random) {
  return list[Math.floor(random() * list.length) % list.length];
}

function words(text) {
  return text.trim().split(/\s+/);
}
