/**
 * The TypeScript SDK of Heliograph: join a room, and get links to its members with data channels and
 * media.
 *
 *     import { join } from "https://example.org/heliograph.js";
 *
 *     const room = await join("wss://example.org", "demo", { metadata: { name: "ada" } });
 *     room.on("peer", (peer) => {
 *       peer.on("message", ({ data }) => console.log(peer.metadata.name, data));
 *       peer.reliable.send("hello");
 *     });
 *
 * See docs/sdk-js.md.
 *
 * @module
 */

import { type JoinOptions, Room } from "./room.js";

/**
 * Joins a room, and resolves once there is a seat in it.
 *
 * `url` is where the server is: its root, a page there, or its WebSocket, by `http`, `https`, `ws` or
 * `wss`. A server that can't be reached is tried until `options.signal` ends it.
 *
 * Rejects with a `HeliographError`: what the server says, such as `wrong_password`; `aborted`;
 * `bad_url`.
 */
export async function join(
  url: string | URL,
  room: string,
  options: JoinOptions = {},
): Promise<Room> {
  return new Room(url, room, options).joined;
}

export type { Channel, ChannelEvents, ChannelOptions, ChannelState, Message } from "./channel.js";
export type { Connection } from "./connection.js";
export type { Emitter, Listener } from "./emitter.js";
export { HeliographError } from "./errors.js";
export type { ErrorCode, ServerErrorCode } from "./errors.js";
export type {
  BroadcastFrame,
  Json,
  JsonObject,
  LeaveReason,
  RoomStateFrame,
  Rules,
} from "./frames.js";
export { findRoom, listRooms, makeRoom, match } from "./lobby.js";
export type {
  Condition,
  MakeRoom,
  Match,
  MatchOptions,
  PublicRoom,
  RoomSearch,
  Ticket,
} from "./lobby.js";
export type { RemoteTrack } from "./media.js";
export type { Peer, PeerEvents, PeerState } from "./peer.js";
export type { Diagnosis, LinkReport } from "./report.js";
export { Room } from "./room.js";
export type {
  Broadcast,
  History,
  JoinOptions,
  RoomEvents,
  RoomOptions,
  RoomState,
  RulesPatch,
} from "./room.js";
export type { Path, PeerStats } from "./stats.js";
export type { TokenSource } from "./token.js";
export type { TransportName } from "./transport.js";
