// The state of the connection to the server, in plain words.

const CODES = {
  4001: "The server closed the connection: this page read too slowly.",
  4002: "The server heard nothing from this page.",
  4003: "The server is restarting.",
  4100: "The server refused too much from this page. Reload it.",
  4101: "This seat was taken over by another page.",
  4103: "The operator of this server closed the room.",
  4104: "The operator of this server removed you from the room.",
  1009: "This page sent the server more than it takes. Reload it.",
};

/** A sentence for a `state` of the session; `open` is how many links are open meanwhile. */
export function statusText(state, open) {
  switch (state.name) {
    case "connecting":
      return "Connecting to the server";
    case "online":
      return "Connected to the server";
    case "waiting":
      return [CODES[state.code] ?? refusal(state) ?? "No connection to the server.", kept(open)]
        .filter(Boolean)
        .join(" ");
    case "ended":
      return CODES[state.code] ?? refusal(state) ?? "You have left the room.";
    default:
      return "";
  }
}

function refusal({ code, text }) {
  return code === 0 && text ? `The server says: ${text}.`.replace("..", ".") : null;
}

function kept(open) {
  if (open === 0) return "";
  return open === 1 ? "Your open link works on." : `Your ${open} open links work on.`;
}
