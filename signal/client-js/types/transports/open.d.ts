import type { Carried, Transport, TransportName } from "../transport.js";
/** Opens a connection of this kind. */
export declare function openTransport(name: TransportName, carried: Carried): Transport;
