// With what the page asks for a seat: the token and the room of its address.

const ROOM_LENGTH_MAX = 64;

/**
 * What stands in a fragment such as `#token=…`, `#demo` or, as on the page of rooms,
 * `#demo?token=…`; each is empty if it isn't there.
 */
export function readFragment(hash) {
  const [, room, token] =
    /^#?([A-Za-z0-9._~-]*?)\??(?:token=([A-Za-z0-9._~+/=-]+))?$/.exec(hash) ?? [];
  return { room: room ?? "", token: token ?? "" };
}

/**
 * A room where nobody else is. If the token is one that says for which rooms it is good (a JWT with
 * the claim `room`), it is one of those; then somebody may be there.
 */
export function chooseRoom(token, random) {
  const own = `check-${random}`;
  const [allowed] = [claims(token).room ?? []].flat();
  if (typeof allowed !== "string") return own;
  if (!allowed.endsWith("*")) return allowed;
  return (allowed.slice(0, -1) + own).slice(0, ROOM_LENGTH_MAX);
}

/** The claims of a JWT, unchecked: that is for the server. Empty if it is none. */
function claims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload)) ?? {};
  } catch {
    return {};
  }
}
