//! The numbers and words by which errors, closes and leaves are told apart.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a request was refused. The word is what stands in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not one JSON object, or a field of the wrong type.
    BadFrame,
    /// A binary frame; all frames are text.
    BinaryFrame,
    /// The `type` is none that this server knows.
    UnknownType,
    /// A field that this type needs is not there.
    MissingField,
    /// The room's id breaks the alphabet or the length.
    BadRoom,
    /// The metadata are no JSON object, or too large.
    BadMetadata,
    /// Another frame came before `hello`.
    HelloFirst,
    /// A second `hello`.
    AlreadyJoined,
    /// The addressee is not in the room (any more).
    NoSuchPeer,
    /// The room has as many members as it may have.
    RoomFull,
    /// The server has as many members or rooms as it may have.
    ServerFull,
    /// The server has too much to do at the moment.
    Busy,
    /// This address or room asks for more than one may.
    RateLimited,
    /// A token is needed, or the one that was shown is no good (any more).
    Unauthorized,
    /// The token is good, but not for this.
    Forbidden,
    /// Whether the token is good can't be found out at the moment.
    AuthUnavailable,
    /// Somebody in the room has the peer id that the token gives.
    PeerTaken,
    /// There is no such session (any more), or the key isn't its own: join anew.
    NoSuchSession,
    /// The `id` isn't the one after the last: requests before it are missing.
    OutOfOrder,
    /// What was passed on never reached its addressee, who is gone.
    Undelivered,
    /// The room must be made before somebody can join it.
    NoSuchRoom,
    /// There is a room of this name already.
    RoomTaken,
    /// Nobody else may join the room.
    RoomSealed,
    /// The room has another password.
    WrongPassword,
    /// The room's host has banned this client.
    Banned,
    /// Only the room's host may do that.
    NotHost,
    /// The room has got another host since.
    OldTerm,
    /// The room's state is another one by now.
    Conflict,
    /// The room's options, rules or state break a limit.
    BadRules,
    /// The ticket can't be read, or asks for what can't be.
    BadTicket,
    /// There is no such ticket (any more), or the key isn't its own.
    NoSuchTicket,
    /// A word that this version doesn't know.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retry(self) -> bool {
        match self {
            Self::RoomFull
            | Self::ServerFull
            | Self::Busy
            | Self::RateLimited
            | Self::AuthUnavailable
            | Self::PeerTaken
            | Self::NoSuchRoom
            | Self::RoomSealed => true,
            Self::BadFrame
            | Self::BinaryFrame
            | Self::UnknownType
            | Self::MissingField
            | Self::BadRoom
            | Self::BadMetadata
            | Self::HelloFirst
            | Self::AlreadyJoined
            | Self::NoSuchPeer
            | Self::Unauthorized
            | Self::Forbidden
            | Self::NoSuchSession
            | Self::OutOfOrder
            | Self::Undelivered
            | Self::RoomTaken
            | Self::WrongPassword
            | Self::Banned
            | Self::NotHost
            | Self::OldTerm
            | Self::Conflict
            | Self::BadRules
            | Self::BadTicket
            | Self::NoSuchTicket
            | Self::Unknown => false,
        }
    }

    /// Whether a client that keeps to the protocol can meet this refusal: it depends on what others
    /// do.
    #[must_use]
    pub const fn is_nobodys_fault(self) -> bool {
        matches!(
            self,
            Self::NoSuchPeer
                | Self::RoomFull
                | Self::ServerFull
                | Self::Busy
                | Self::RateLimited
                | Self::AuthUnavailable
                | Self::PeerTaken
                | Self::NoSuchSession
                | Self::NoSuchTicket
                | Self::Undelivered
                | Self::NoSuchRoom
                | Self::RoomTaken
                | Self::RoomSealed
                | Self::NotHost
                | Self::OldTerm
                | Self::Conflict
        )
    }
}

impl ErrorCode {
    /// What it tells a developer to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadFrame => "a frame is one JSON object with a \"type\"",
            Self::BinaryFrame => "frames are text, not binary",
            Self::UnknownType => "this server doesn't know the type",
            Self::MissingField => "a field is missing",
            Self::BadRoom => "this is no room id",
            Self::BadMetadata => "metadata is a small JSON object",
            Self::HelloFirst => "send hello or resume first, and wait for the answer",
            Self::AlreadyJoined => {
                "this connection is in a room: open another one for another room"
            }
            Self::NoSuchPeer => "nobody else in the room has this peer id (any more)",
            Self::RoomFull => "the room has as many members as it may have",
            Self::ServerFull => "the server has as many members, rooms or tickets as it may have",
            Self::Busy => "the server has much to do: come again after retry_after_ms",
            Self::RateLimited => "this is more than one may: come again after retry_after_ms",
            Self::Unauthorized => "the token has expired: get a new one and join anew",
            Self::Forbidden => "the token isn't good for this",
            Self::AuthUnavailable => {
                "tokens can't be checked at the moment: come again after retry_after_ms"
            }
            Self::PeerTaken => "somebody in the room has the peer id of this token",
            Self::NoSuchSession => "there is no such session (any more): join anew with hello",
            Self::OutOfOrder => "ids count up by 1: send what comes before it first",
            Self::Undelivered => "it never reached its addressee, who is gone",
            Self::NoSuchRoom => "there is no such room: make it with POST /v1/rooms first",
            Self::RoomTaken => "there is a room of this name already: choose another",
            Self::RoomSealed => "the room takes nobody else",
            Self::WrongPassword => "the room has another password",
            Self::Banned => "the room's host has banned you",
            Self::NotHost => "only the room's host may do that: see host in the welcome",
            Self::OldTerm => "the room has got another host since: use the term that came with it",
            Self::Conflict => "the state is another one by now: look at it and try again",
            Self::BadRules => "the room's options or its state break a limit",
            Self::BadTicket => "this is no ticket",
            Self::NoSuchTicket => "there is no such ticket (any more), or the key isn't its own",
            Self::Unknown => "refused",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why a peer is no longer in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It said so, or closed its connection in order.
    Left,
    /// Its connection broke, and it didn't come back within the grace.
    Lost,
    /// Nothing was heard from it any more, and it didn't come back within the grace.
    Vanished,
    /// It didn't acknowledge what it was sent.
    Slow,
    /// It broke the protocol too often.
    Misbehaved,
    /// Its token expired.
    Expired,
    /// Another session has come with a token for the same peer id.
    Replaced,
    /// The room's host or the operator removed it.
    Kicked,
    /// The operator closed the room.
    Closed,
    /// A word that this version doesn't know.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// The WebSocket close codes. From 4000 a client should reconnect, from 4100 it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client left.
    Normal,
    /// 1002: what came was no WebSocket frame (RFC 6455 §7.4.1).
    NotWebSocket,
    /// 1007: a text frame was not UTF-8 (RFC 6455 §8.1).
    NotUtf8,
    /// 1009: a frame over the limit (RFC 6455 §7.4.1).
    TooBig,
    /// 4000: no successful `hello` within the time.
    HelloTimeout,
    /// 4001: more was not acknowledged by the client than the limits allow.
    SlowReader,
    /// 4002: nothing was heard from the client for the heartbeat's timeout.
    Vanished,
    /// 4003: the server shuts down.
    Shutdown,
    /// 4101: another connection has resumed this session.
    Superseded,
    /// 4100: more refused frames than the limits allow.
    Misbehaved,
    /// 4102: the token has expired.
    Expired,
    /// 4103: the operator closed the room.
    RoomClosed,
    /// 4104: the room's host or the operator removed this peer.
    Kicked,
}

impl CloseCode {
    /// The number in the close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::NotWebSocket => 1002,
            Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
            Self::HelloTimeout => 4000,
            Self::SlowReader => 4001,
            Self::Vanished => 4002,
            Self::Shutdown => 4003,
            Self::Misbehaved => 4100,
            Self::Superseded => 4101,
            Self::Expired => 4102,
            Self::RoomClosed => 4103,
            Self::Kicked => 4104,
        }
    }

    /// The text in the close frame.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::NotWebSocket => "not a WebSocket frame",
            Self::NotUtf8 => "text frames are UTF-8",
            Self::TooBig => "the frame is over the limit",
            Self::HelloTimeout => "no hello in time",
            Self::SlowReader => "too much is not acknowledged",
            Self::Vanished => "nothing was heard for too long",
            Self::Shutdown => "the server shuts down, please reconnect",
            Self::Misbehaved => "too many refused frames",
            Self::Superseded => "another connection has resumed this session",
            Self::Expired => "the token has expired: join anew with a new one",
            Self::RoomClosed => "the room was closed by the operator",
            Self::Kicked => "removed from the room",
        }
    }

    /// Whether a client that was closed with `number` should connect again.
    #[must_use]
    pub const fn should_reconnect(number: u16) -> bool {
        !matches!(number, 1000 | 1002 | 1007 | 1009 | 4100..=4999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_from_a_newer_server_is_read_as_unknown() {
        let code: ErrorCode = serde_json::from_str("\"too_new\"").unwrap();
        assert_eq!(code, ErrorCode::Unknown);
        assert_eq!(ErrorCode::NoSuchPeer.to_string(), "no_such_peer");
    }

    #[test]
    fn the_hundreds_of_a_close_code_say_whether_to_reconnect() {
        for close in [CloseCode::HelloTimeout, CloseCode::SlowReader, CloseCode::Shutdown] {
            assert!(CloseCode::should_reconnect(close.number()));
        }
        assert!(CloseCode::should_reconnect(1006), "a broken connection");
        use CloseCode::{Expired, Kicked, Misbehaved, Normal, RoomClosed, TooBig};
        for close in [Normal, TooBig, Misbehaved, Expired, RoomClosed, Kicked] {
            assert!(!CloseCode::should_reconnect(close.number()));
        }
    }
}
