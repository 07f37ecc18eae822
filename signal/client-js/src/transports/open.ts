// Which class carries which transport.

import type { Carried, Transport, TransportName } from "../transport.js";
import { EventsTransport } from "./events.js";
import { PollTransport } from "./poll.js";
import { SocketTransport } from "./socket.js";

/** Opens a connection of this kind. */
export function openTransport(name: TransportName, carried: Carried): Transport {
  switch (name) {
    case "websocket":
      return new SocketTransport(carried);
    case "events":
      return new EventsTransport(carried);
    case "poll":
      return new PollTransport(carried);
  }
}
