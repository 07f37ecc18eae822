//! What a session of a client wants to have done, and what it tells.

use crate::protocol::{
    ErrorCode, ErrorFrame, IceUpdate, LeaveReason, Member as MemberFrame, Welcome,
};
use crate::{BadId, PeerId};
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;

/// What is to be done, in the order given.
#[derive(Clone)]
pub enum Output {
    /// Open a connection; any other one is no more.
    Connect,
    /// Send a text frame on the last connection.
    Send(String),
    /// Close the last connection with this code. Nothing that comes on it matters any more.
    Close(u16),
    /// Tell the program.
    Event(Event),
}

/// Leaves out the frame: it may hold the session's key, or a signal.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("Connect"),
            Self::Send(text) => write!(f, "Send({} bytes)", text.len()),
            Self::Close(code) => write!(f, "Close({code})"),
            Self::Event(event) => write!(f, "Event({event:?})"),
        }
    }
}

/// What a program is told.
#[derive(Clone)]
pub enum Event {
    /// A seat is given. After the first time: a new one, in a session that knows nothing of the one
    /// before, nor of its signals.
    Joined(Seat),
    /// The session goes on where it was, and nothing is lost.
    Resumed,
    /// The session goes on, but some of what came is lost: this is the room now.
    Resync(Seat),
    /// Another peer has joined.
    PeerJoined(Member),
    /// Another peer has lost its connection.
    PeerAway(PeerId),
    /// It is there again.
    PeerBack(PeerId),
    /// Another peer has left.
    PeerLeft {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// Another peer sent this.
    Signal {
        /// Who.
        from: PeerId,
        /// Byte for byte as it was sent.
        data: Box<RawValue>,
    },
    /// New credentials.
    Ice(IceUpdate),
    /// A request was refused, or never reached its addressee.
    Refused(Refusal),
    /// The connection is lost, or couldn't be opened; another attempt follows.
    Lost {
        /// How.
        loss: Loss,
        /// When.
        pause: Duration,
    },
    /// The session has ended for good.
    Ended(Loss),
}

/// Leaves out what signals say.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(seat) => write!(f, "Joined({seat:?})"),
            Self::Resumed => f.write_str("Resumed"),
            Self::Resync(seat) => write!(f, "Resync({seat:?})"),
            Self::PeerJoined(member) => write!(f, "PeerJoined({member:?})"),
            Self::PeerAway(peer) => write!(f, "PeerAway({peer})"),
            Self::PeerBack(peer) => write!(f, "PeerBack({peer})"),
            Self::PeerLeft { peer, reason } => write!(f, "PeerLeft({peer}, {reason})"),
            Self::Signal { from, data } => {
                write!(f, "Signal({from}, {} bytes)", data.get().len())
            }
            Self::Ice(ice) => write!(f, "Ice({} servers)", ice.ice_servers.len()),
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
            Self::Lost { loss, pause } => write!(f, "Lost({loss:?}, {pause:?})"),
            Self::Ended(loss) => write!(f, "Ended({loss:?})"),
        }
    }
}

/// A seat in a room, and the room as it is.
#[derive(Clone, Debug)]
pub struct Seat {
    /// The client's own peer id.
    pub peer: PeerId,
    /// Everybody else, in the order of their joining.
    pub members: Vec<Member>,
    /// STUN and TURN servers; none in a resync, where those known before stay in force.
    pub ice: IceUpdate,
}

/// Another peer, as this client should treat it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its peer id.
    pub peer: PeerId,
    /// The JSON object it brought along.
    pub metadata: Box<RawValue>,
    /// Whether this client gives way when offers collide.
    pub polite: bool,
    /// Whether this client makes the first offer.
    pub offers: bool,
    /// Whether it has no connection at the moment.
    pub away: bool,
    /// What its token says that it is.
    pub role: Option<String>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For developers.
    pub text: String,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// The number of the signal, if it was one.
    pub id: Option<u64>,
}

/// How a connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It broke or couldn't be opened, or the server closed it with this code.
    Closed(Option<u16>),
    /// The server didn't answer any more.
    Silent,
    /// The server refused the seat.
    Refused(Refusal),
    /// What was said on it doesn't fit together; a resume sets it right.
    Confused,
    /// The server said something that isn't of this protocol.
    Unreadable(String),
}

/// Why a signal isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// There is no session (yet, or any more).
    #[error("there is no session")]
    NoSession,
    /// Too many wait for the server to acknowledge them.
    #[error("too many signals wait for the server")]
    Full,
    /// It is over the server's limit.
    #[error("a signal is over the server's limit")]
    TooLarge,
}

impl Seat {
    pub(super) fn read(welcome: &Welcome<'_>) -> Result<Self, BadId> {
        let members = welcome.members.iter().map(Member::read);
        let Welcome { ice_servers, ice_ttl_s, .. } = welcome;
        Ok(Self {
            peer: PeerId::parse(&welcome.peer)?,
            members: members.collect::<Result<_, _>>()?,
            ice: IceUpdate { ice_servers: ice_servers.clone(), ice_ttl_s: *ice_ttl_s },
        })
    }
}

impl Member {
    pub(super) fn read(frame: &MemberFrame<'_>) -> Result<Self, BadId> {
        let MemberFrame { peer, metadata, polite, offers, away, role } = frame;
        Ok(Self {
            peer: PeerId::parse(peer)?,
            metadata: (*metadata).to_owned(),
            polite: *polite,
            offers: *offers,
            away: *away,
            role: role.as_deref().map(str::to_owned),
        })
    }
}

impl Refusal {
    pub(super) fn read(frame: &ErrorFrame<'_>) -> Self {
        let ErrorFrame { code, text, retry, id, retry_after_ms: _ } = frame;
        Self { code: *code, text: text.to_string(), retry: *retry, id: *id }
    }
}
