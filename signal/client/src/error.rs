//! What can go wrong, and what to do about it.

use serde_json::Value;
use signal_core::BadId;
use signal_core::client::{NotTaken, Refusal, RoomState};
use signal_core::protocol::{CloseCode, ErrorCode};
use std::io;
use std::time::Duration;

/// Why a room could not be joined, why its signaling connection ended, or why the server didn't do
/// what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL doesn't name a server.
    #[error(
        "{url:?} names no server ({why}): give its page or WebSocket, such as ws://127.0.0.1:8080"
    )]
    BadUrl {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The room's id breaks the alphabet or the length.
    #[error("the room's name can't be used: {0}")]
    BadRoom(#[from] BadId),
    /// The metadata are no JSON object.
    #[error("the metadata must be a JSON object, such as {{\"name\":\"ada\"}}")]
    BadMetadata,
    /// A value has no JSON form.
    #[error("this has no JSON form: {0}")]
    BadValue(String),
    /// Nobody answered at the server's address.
    #[error("can't reach {address}: {reason}; is the server running, and is the address right?")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: io::Error,
    },
    /// Somebody answered, but not with this protocol.
    #[error("{address} doesn't speak Heliograph's protocol: {why}")]
    NotHeliograph {
        /// Host and port.
        address: String,
        /// What was unexpected.
        why: String,
    },
    /// The server's certificate isn't believed.
    #[error(
        "the certificate of {address} isn't trusted: {why}; have one that is, for this name, or \
         give its authority in Options::authorities, or Server::authorities before a room"
    )]
    Untrusted {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The authorities that were given can't be read.
    #[error("the authorities have no certificates ({0}): give them as PEM")]
    BadAuthorities(String),
    /// The server refused the seat in the room.
    #[error("the server refused: {text} ({code})")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// The server's sentence for developers.
        text: String,
        /// Whether the same request may succeed later.
        retry: bool,
        /// After how long, if the server knows.
        retry_after: Option<Duration>,
    },
    /// The room's state is another one than was thought.
    #[error("the room's state has version {version} by now: look at it, and set it anew")]
    Conflict {
        /// The version that it has.
        version: u64,
        /// What it is.
        value: Value,
    },
    /// It is too large for the server.
    #[error("it is over the server's limit for a frame of 64 KiB: say less at once")]
    TooLarge,
    /// Too much waits for the server.
    #[error("too much waits for the server: try again when some of it is done")]
    Busy,
    /// This client has another seat since, or none: nobody knows whether what it asked for was
    /// done.
    #[error("the session has ended before the server answered: look what became of it")]
    SeatLost,
    /// The server closed the connection.
    #[error("the server closed the connection: {text} ({code})")]
    Closed {
        /// The WebSocket close code; 1005 if there was none.
        code: u16,
        /// The server's reason.
        text: String,
    },
    /// The connection to the server broke.
    #[error("the connection to the server broke: {0}")]
    Lost(String),
    /// The server didn't answer in time.
    #[error("no answer from {address} within {after:?}: is it the right server, and is it up?")]
    Timeout {
        /// Host and port.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// The program didn't take its events, so that too many waited.
    #[error("too many events were waiting to be read: call Room::next without long pauses")]
    NotRead,
}

impl Error {
    /// Whether joining again (after a pause) may succeed without a change.
    #[must_use]
    pub fn retry(&self) -> bool {
        match self {
            Self::BadUrl { .. } | Self::BadRoom(_) | Self::BadMetadata | Self::BadValue(_) => false,
            Self::NotHeliograph { .. } | Self::NotRead | Self::TooLarge => false,
            Self::Untrusted { .. } | Self::BadAuthorities(_) => false,
            Self::Conflict { .. } => false,
            Self::Busy | Self::SeatLost => true,
            Self::Unreachable { .. } | Self::Lost(_) | Self::Timeout { .. } => true,
            Self::Refused { retry, .. } => *retry,
            Self::Closed { code, .. } => CloseCode::should_reconnect(*code),
        }
    }
}

impl Error {
    /// Whether no other transport gets further: nobody is there, or who is there isn't believed.
    pub(crate) fn is_of_all_transports(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Untrusted { .. } | Self::BadAuthorities(_))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, text, retry, retry_after, id: _, state } = refusal;
        match state.as_ref().map(RoomState::from) {
            Some(RoomState { version, value }) if code == ErrorCode::Conflict => {
                Self::Conflict { version, value }
            }
            Some(_) | None => Self::Refused { code, text, retry, retry_after },
        }
    }
}

impl From<NotTaken> for Error {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::NoSession => Self::SeatLost,
            NotTaken::Full => Self::Busy,
            NotTaken::TooLarge => Self::TooLarge,
        }
    }
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The channels to this peer are not open: not yet, or not any more.
    #[error("not connected to this peer: wait for Event::Connected")]
    NotConnected,
    /// Too much is waiting to be sent; only lossy messages are refused for it.
    #[error("too much is waiting to be sent: leave this message out, or send less often")]
    Full,
    /// The peer takes no message of this size.
    #[error("a message of {bytes} bytes is over this peer's limit of {bytes_max}: split it")]
    TooLarge {
        /// The message's size.
        bytes: usize,
        /// The largest message that the peer takes.
        bytes_max: usize,
    },
}

/// Why a peer that is in the room can't be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// Nothing has come from it for some seconds; it may come back.
    #[error("nothing was heard for some seconds; still trying")]
    Silent,
    /// No pair of candidates works (any more).
    #[error("no path was found: are both sides online, and is a TURN server offered?")]
    NoPath,
    /// This side has no candidate: with relay-only, no TURN server gave an address.
    #[error(
        "no local candidate: can the TURN server be reached over UDP, and are its credentials good?"
    )]
    NoCandidates,
    /// It takes longer than it should.
    #[error("not connected in time; still trying")]
    Slow,
    /// The other side closed the connection, but stayed in the room.
    #[error("the other side closed the connection")]
    Closed,
    /// The other side sent a description that can't be used.
    #[error("the other side's description can't be used: {0}")]
    BadDescription(String),
    /// This machine can't: sockets, addresses.
    #[error("this machine can't open a connection: {0}")]
    Local(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_joining_again_makes_sense() {
        let closed = |code| Error::Closed { code, text: String::new() }.retry();
        assert!(closed(4003) && closed(1006));
        assert!(!closed(4100) && !closed(1000));
        let (code, text) = (ErrorCode::RoomFull, String::new);
        let refused = |retry| Error::Refused { code, text: text(), retry, retry_after: None };
        assert!(refused(true).retry() && !refused(false).retry());
        assert!(!Error::BadMetadata.retry());
    }
}
