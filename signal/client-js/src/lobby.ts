// What there is before a room: to find public rooms, to make one, and to be matched with others.

import { Endpoint } from "./endpoint.js";
import { HeliographError, refusal } from "./errors.js";
import { type Json, type RoomStateFrame, readFrame } from "./frames.js";
import type { RoomOptions } from "./room.js";

/** A room in the list of rooms. */
export interface PublicRoom {
  /** Its id. */
  room: string;
  /** How many members it has. */
  members: number;
  /** How many it may have. */
  capacity: number;
  /** Whether one gets in. */
  open: boolean;
  /** Nobody else may join. */
  sealed: boolean;
  /** Newcomers must know a password. */
  locked: boolean;
  /** Since when it is there, in seconds of Unix time. */
  since: number;
  /** Its state, once it was set. */
  state?: RoomStateFrame;
}

/** Which rooms are looked for. */
export interface RoomSearch {
  /** What must hold of the state, such as `mode=duel` or `rank<1300`; 8 conditions at most. */
  where?: string[];
  /** Only rooms in which one gets. */
  open?: boolean;
  /** `room`, `members`, `since` or `state.FIELD`, with `-` the other way round. */
  sort?: string;
  /** How many at most: 50 without it, 100 at most. */
  limit?: number;
  /** Ends the request. */
  signal?: AbortSignal;
}

/** The public rooms of a server. */
export async function listRooms(url: string | URL, search: RoomSearch = {}): Promise<PublicRoom[]> {
  const { where = [], open, sort, limit, signal } = search;
  const endpoint = new Endpoint(url);
  const address = endpoint.at("rooms", { open: open || undefined, sort, limit });
  for (const condition of where) address.searchParams.append("where", condition);
  const { rooms } = await endpoint.ask<{ rooms: PublicRoom[] }>(address, signal ? { signal } : {});
  return rooms;
}

/** One public room of a server; `null` if there is no public one of this name. */
export async function findRoom(
  url: string | URL,
  room: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<PublicRoom | null> {
  const endpoint = new Endpoint(url);
  const address = endpoint.at(`rooms/${encodeURIComponent(room)}`);
  try {
    return await endpoint.ask<PublicRoom>(address, signal ? { signal } : {});
  } catch (error) {
    if ((error as HeliographError).code === "no_such_room") return null;
    throw error;
  }
}

/** How a room is made before anybody is there. */
export interface MakeRoom {
  /** Its id; without it one that nobody can guess. */
  room?: string;
  /** What it is like. */
  options?: RoomOptions;
  /** For how many seconds it stays without members: 60 without it. */
  idleS?: number;
  /** Shows that one may join it. */
  token?: string;
  /** Ends the request. */
  signal?: AbortSignal;
}

/** Makes a room, and resolves with its id. */
export async function makeRoom(url: string | URL, make: MakeRoom = {}): Promise<string> {
  const { room, options, idleS: idle_s, token, signal } = make;
  const body = JSON.stringify({ room, options, idle_s, token });
  const init = { method: "POST", body, headers: { "content-type": "application/json" } };
  const endpoint = new Endpoint(url);
  const request = signal ? { ...init, signal } : init;
  return (await endpoint.ask<{ room: string }>(endpoint.at("rooms"), request)).room;
}

/** What others must be like to be matched with (docs/protocol.md, Matchmaking). */
export interface Condition {
  /** The property of the others. */
  property: string;
  /** It is this. */
  equals?: string | number;
  /** It is one of these. */
  one_of?: (string | number)[];
  /** It is so far from one's own at most. */
  within?: number;
  /** What is asked for once the ticket has waited. */
  relax?: { after_s: number; by?: number; to?: number };
}

/** What one is, and whom one wants to meet. */
export interface Ticket {
  /** Only tickets of the same queue meet. */
  queue: string;
  /** How many players the match shall have. */
  size: number | { min: number; max: number };
  /** For how many players the ticket stands; 1 without it. */
  party?: number;
  /** Where they are already, if others shall come to them; `party` counts all who are there. */
  room?: string;
  /** What others may ask for. */
  properties?: Record<string, string | number>;
  /** What the others must be like. */
  query?: Condition[];
  /** How long it waits for more players than `min`, in seconds. */
  fill_s?: number;
  /** How long it waits at all, in seconds. */
  timeout_s?: number;
}

/** A match. */
export interface Match {
  /** Where all of it meet: for `join`. */
  room: string;
  /** How many players go there. */
  players: number;
  /** Which of the seats, counted from 0, are for this ticket's players. */
  seats: number[];
}

/** How a match is looked for. */
export interface MatchOptions {
  /** Takes the ticket back. */
  signal?: AbortSignal;
  /** Posts the ticket by HTTP instead of a WebSocket. Without it: if no WebSocket opens. */
  http?: boolean;
}

/**
 * Finds others to meet; resolves once they are found, with `null` if nobody fits in time.
 *
 * Rejects with a `HeliographError`, such as `bad_ticket`, `rate_limited`, or `aborted`.
 */
export async function match(
  url: string | URL,
  ticket: Ticket,
  { signal, http = false }: MatchOptions = {},
): Promise<Match | null> {
  const endpoint = new Endpoint(url);
  if (signal?.aborted) throw aborted();
  if (http) return matchByHttp(endpoint, ticket, signal);
  const found = await matchBySocket(endpoint, ticket, signal);
  return found === BLOCKED ? matchByHttp(endpoint, ticket, signal) : found;
}

/** No WebSocket opens. */
const BLOCKED = Symbol("blocked");

/** How long a WebSocket may take to open. */
const OPEN_TIMEOUT_MS = 5000;

/** Shows a waiting server that we are there: it must hear of us every few seconds. */
const PING_MS = 4000;

function matchBySocket(
  endpoint: Endpoint,
  ticket: Ticket,
  signal: AbortSignal | undefined,
): Promise<Match | null | typeof BLOCKED> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(endpoint.socket, "heliograph.v1");
    let isOpen = false;
    const pings = setInterval(() => isOpen && socket.send('{"type":"ping"}'), PING_MS);
    const late = setTimeout(() => isOpen || end(() => resolve(BLOCKED)), OPEN_TIMEOUT_MS);
    const abort = () => end(() => reject(aborted()));
    const end = (how: () => void) => {
      clearInterval(pings);
      clearTimeout(late);
      signal?.removeEventListener("abort", abort);
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      how();
    };
    signal?.addEventListener("abort", abort, { once: true });
    socket.onopen = () => {
      isOpen = true;
      socket.send(JSON.stringify({ type: "match", ticket }));
    };
    socket.onclose = () =>
      end(isOpen ? () => reject(unreachable(endpoint)) : () => resolve(BLOCKED));
    socket.onmessage = ({ data }) => {
      const said = readFrame(String(data)) as { type: string } | null;
      if (said?.type === "matched") end(() => resolve(matchOf(said as unknown as Match)));
      if (said?.type === "expired") end(() => resolve(null));
      if (said?.type === "error") end(() => reject(refusal(said as never)));
    };
  });
}

type Status = { status: "waiting" | "expired" | "cancelled" } | ({ status: "matched" } & Match);

async function matchByHttp(
  endpoint: Endpoint,
  ticket: Ticket,
  signal: AbortSignal | undefined,
): Promise<Match | null> {
  const init = { method: "POST", body: JSON.stringify(ticket) };
  const posted = await endpoint.ask<{ ticket: string; key: string }>(endpoint.at("tickets"), init);
  const address = endpoint.at(`tickets/${posted.ticket}`);
  const headers = { authorization: `Bearer ${posted.key}` };
  try {
    for (;;) {
      const status = await endpoint.ask<Status>(
        address,
        signal ? { headers, signal } : { headers },
      );
      if (status.status === "matched") return matchOf(status);
      if (status.status !== "waiting") return null;
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
    // It may be too late: then the others find an empty seat, as if this one had left.
    await endpoint.ask<Json>(address, { method: "DELETE", headers }).catch(() => null);
    throw aborted();
  }
}

function matchOf({ room, players, seats }: Match): Match {
  return { room, players, seats };
}

function aborted(): HeliographError {
  return new HeliographError("aborted", "You have taken the ticket back.");
}

function unreachable(endpoint: Endpoint): HeliographError {
  const text = `${endpoint.base.origin} closed the connection: post the ticket again.`;
  return new HeliographError("unreachable", text, { retry: true });
}
