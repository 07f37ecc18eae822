// What can go wrong, in words for programs and for people.

import type { ErrorFrame, RoomStateFrame } from "./frames.js";

/**
 * What an error is about: a code of the server (docs/protocol.md, Errors), or one of ours.
 *
 * - `aborted`: you asked for it; `ended`: the room is left or lost for good;
 * - `lost`: the session ended before the server had confirmed the request;
 * - `offline`: there is no connection to the server at the moment; `timeout`: no answer came;
 * - `unreachable`: a request by HTTP failed;
 * - `closed`: the channel or link is closed; `full`: more waits to be sent than may;
 * - `too_large`: the message is over the limit of the link;
 * - `too_many`: there are as many channels as one link may have;
 * - `bad_url`, `bad_option`: what was given is none.
 */
export type ErrorCode =
  | ServerErrorCode
  | "aborted"
  | "ended"
  | "lost"
  | "offline"
  | "timeout"
  | "unreachable"
  | "closed"
  | "full"
  | "too_large"
  | "too_many"
  | "bad_url"
  | "bad_option";

/** The codes of the server's errors; a newer server may have more. */
export type ServerErrorCode =
  | "bad_frame"
  | "binary_frame"
  | "unknown_type"
  | "missing_field"
  | "bad_room"
  | "bad_metadata"
  | "hello_first"
  | "already_joined"
  | "no_such_peer"
  | "room_full"
  | "server_full"
  | "unauthorized"
  | "forbidden"
  | "auth_unavailable"
  | "peer_taken"
  | "no_such_room"
  | "room_taken"
  | "room_sealed"
  | "wrong_password"
  | "banned"
  | "not_host"
  | "old_term"
  | "conflict"
  | "bad_rules"
  | "busy"
  | "rate_limited"
  | "no_such_session"
  | "out_of_order"
  | "undelivered"
  | "bad_ticket"
  | "no_such_ticket"
  | (string & {});

/** What an error knows beside its code and text. */
export interface ErrorDetails {
  /** Whether the same may work later. */
  retry?: boolean | undefined;
  /** After how many milliseconds, if that is known. */
  retryAfterMs?: number | undefined;
  /** With `too_large`: the most bytes of a message; with `full`: the most that may wait. */
  limit?: number | undefined;
  /** With `conflict`: the state that is there. */
  current?: RoomStateFrame | undefined;
  /** The close code, if the server closed the session. */
  closeCode?: number | undefined;
  /** What it comes from. */
  cause?: unknown;
}

/** An error of the SDK. Its `message` says what is wrong and what to do. */
export class HeliographError extends Error {
  /** What it is about, for programs. */
  readonly code: ErrorCode;
  /** Whether the same may work later. */
  readonly retry: boolean;
  /** After how many milliseconds, if that is known. */
  readonly retryAfterMs: number | undefined;
  /** With `too_large`: the most bytes of a message; with `full`: the most that may wait. */
  readonly limit: number | undefined;
  /** With `conflict`: the state that is there. */
  readonly current: RoomStateFrame | undefined;
  /** The close code, if the server closed the session. */
  readonly closeCode: number | undefined;

  /** Makes one; the SDK does that. */
  constructor(code: ErrorCode, text: string, details: ErrorDetails = {}) {
    super(text, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "HeliographError";
    this.code = code;
    this.retry = details.retry ?? false;
    this.retryAfterMs = details.retryAfterMs;
    this.limit = details.limit;
    this.current = details.current;
    this.closeCode = details.closeCode;
  }

  /** What is wrong and what to do: the same as `message`. */
  get text(): string {
    return this.message;
  }
}

/** The error that a frame of the server says. */
export function refusal(frame: ErrorFrame): HeliographError {
  return new HeliographError(frame.code, frame.text, {
    retry: frame.retry,
    retryAfterMs: frame.retry_after_ms,
    current: frame.state,
  });
}

/** What close codes of the server say. */
const CLOSES: Record<number, string> = {
  1000: "You have left the room.",
  1009: "A frame was larger than the server takes: send less at once.",
  4001: "The server closed the session: this client read too slowly.",
  4002: "The server heard nothing from this client.",
  4003: "The server is restarting.",
  4100: "The server refused too many requests of this client.",
  4101: "The seat was taken over by another connection of the same session or token.",
  4102: "The token has expired: join anew with a new one.",
  4103: "The operator of the server closed the room.",
  4104: "The room's host or the operator removed you from the room.",
};

/** What a close code says, in one sentence. */
export function closeText(code: number, text: string): string {
  return CLOSES[code] ?? (text || "There is no connection to the server.");
}
