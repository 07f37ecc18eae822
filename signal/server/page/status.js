// What the SDK says of the connection to the server, in plain words.

/** What close codes mean for a page. The SDK's own sentences are for programs. */
const CODES = {
  1009: "This page sent the server more than it takes. Reload it.",
  4001: "The server closed the connection: this page read too slowly.",
  4002: "The server heard nothing from this page.",
  4100: "The server refused too much from this page. Reload it.",
  4101: "This seat was taken over by another page.",
  4102: "The token of this page has expired. Come back by a new link.",
};

/** A sentence for the SDK's `connection`; `open` is how many links are open meanwhile. */
export function statusText(connection, open) {
  switch (connection.name) {
    case "connecting":
      return "Connecting to the server";
    case "online":
      return "Connected to the server";
    case "waiting":
      return [why(connection), kept(open)].filter(Boolean).join(" ");
    case "ended":
      return why(connection);
    default:
      return "";
  }
}

function why({ code, text, error }) {
  if (CODES[code]) return CODES[code];
  return code === 0 && error ? `The server says: ${text}.`.replace("..", ".") : text;
}

function kept(open) {
  if (open === 0) return "";
  return open === 1 ? "Your open link works on." : `Your ${open} open links work on.`;
}
