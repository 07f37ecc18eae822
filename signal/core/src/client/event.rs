//! What a session of a client wants to have done, and what it tells.

use super::{RoomInfo, Transport, VersionedState};
use crate::protocol::{
    Diagnosis, ErrorCode, ErrorFrame, IceUpdate, LeaveReason, Member as MemberFrame, Rules,
    ServerFrame, Welcome,
};
use crate::{BadId, PeerId};
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;

/// What is to be done, in the order given.
#[derive(Clone)]
pub enum Output {
    /// Open a connection of this kind; any other one is no more.
    Connect(Transport),
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
            Self::Connect(transport) => write!(f, "Connect({transport:?})"),
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
    /// The room tells more than who is in it.
    Room(RoomEvent),
    /// New credentials.
    Ice(IceUpdate),
    /// A request was refused, or never reached its addressee.
    Refused(Refusal),
    /// What was asked of the room is carried out, but for what was refused.
    Done {
        /// All up to this number.
        up_to: u64,
    },
    /// A newer token is taken.
    TokenTaken {
        /// The number that [`Session::set_token`](super::Session::set_token) gave.
        id: Option<u64>,
        /// For how long it is good; none: without end.
        ttl: Option<Duration>,
    },
    /// The answer to the question how a link is; its `id` is the number of the question.
    Diagnosed(Box<Diagnosis>),
    /// The server will end, and asks its clients to go on elsewhere: connections are to be opened
    /// there from now on.
    Moved {
        /// Where.
        url: String,
    },
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
            Self::Room(event) => write!(f, "Room({event:?})"),
            Self::Ice(ice) => write!(f, "Ice({} servers)", ice.ice_servers.len()),
            Self::Refused(refusal) => write!(f, "Refused({refusal:?})"),
            Self::Done { up_to } => write!(f, "Done({up_to})"),
            Self::TokenTaken { ttl, .. } => write!(f, "TokenTaken({ttl:?})"),
            Self::Diagnosed(diagnosis) => write!(f, "Diagnosed({diagnosis:?})"),
            Self::Moved { url } => write!(f, "Moved({url})"),
            Self::Lost { loss, pause } => write!(f, "Lost({loss:?}, {pause:?})"),
            Self::Ended(loss) => write!(f, "Ended({loss:?})"),
        }
    }
}

/// What a room tells that is more than who is in it.
#[derive(Clone)]
pub enum RoomEvent {
    /// Another peer tells something else about itself.
    Metadata {
        /// Who.
        peer: PeerId,
        /// The JSON object.
        metadata: Box<RawValue>,
    },
    /// There is another host.
    Host {
        /// Who; nobody, if nobody is there.
        peer: Option<PeerId>,
        /// How often a host was made.
        term: u64,
    },
    /// A member, perhaps this client itself, said something to several.
    Broadcast {
        /// The number of the event, if it is kept for newcomers.
        event: Option<u64>,
        /// Who.
        from: PeerId,
        /// Byte for byte as it was sent.
        data: Box<RawValue>,
    },
    /// There is another state.
    State {
        /// Who set it.
        by: PeerId,
        /// How often it was set.
        version: u64,
        /// Byte for byte as it was sent.
        value: Box<RawValue>,
    },
    /// There are other rules.
    Rules(Rules),
}

/// Leaves out what is said.
impl fmt::Debug for RoomEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata { peer, .. } => write!(f, "Metadata({peer})"),
            Self::Host { peer, term } => write!(f, "Host({peer:?}, {term})"),
            Self::Broadcast { event, from, .. } => write!(f, "Broadcast({event:?}, {from})"),
            Self::State { by, version, .. } => write!(f, "State({by}, {version})"),
            Self::Rules(rules) => write!(f, "{rules:?}"),
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
    /// What the client's token says that it is.
    pub role: Option<String>,
    /// For how long its token is still good; none: without end.
    pub token_ttl: Option<Duration>,
    /// What else there is to know of the room, if it isn't one without rules, host and state.
    pub about: Option<Box<RoomInfo>>,
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
    /// After how long, if the server knows.
    pub retry_after: Option<Duration>,
    /// The number of the request, if it has one.
    pub id: Option<u64>,
    /// The room's state, if that is why.
    pub state: Option<VersionedState>,
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
    /// The server ends, and there is another one to go on with.
    Moved,
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
            role: welcome.role.as_deref().map(str::to_owned),
            token_ttl: welcome.token_ttl_s.map(Duration::from_secs),
            about: welcome.about.as_ref().map(RoomInfo::read).transpose()?.map(Box::new),
        })
    }
}

impl RoomEvent {
    /// Reads a frame, if it is one of these.
    pub(super) fn read(frame: &ServerFrame<'_>) -> Result<Option<Self>, BadId> {
        let event = match frame {
            ServerFrame::Metadata { peer, metadata } => {
                Self::Metadata { peer: PeerId::parse(peer)?, metadata: (*metadata).to_owned() }
            }
            ServerFrame::Host { peer, term } => {
                let peer = peer.as_deref().map(PeerId::parse).transpose()?;
                Self::Host { peer, term: *term }
            }
            ServerFrame::Broadcast { event, from, data } => {
                let (from, data) = (PeerId::parse(from)?, (*data).to_owned());
                Self::Broadcast { event: *event, from, data }
            }
            ServerFrame::State { by, version, value } => {
                let (by, value) = (PeerId::parse(by)?, (*value).to_owned());
                Self::State { by, version: *version, value }
            }
            ServerFrame::Rules(rules) => Self::Rules(*rules),
            ServerFrame::Welcome(_)
            | ServerFrame::Resumed { .. }
            | ServerFrame::Resync(_)
            | ServerFrame::Joined(_)
            | ServerFrame::Away { .. }
            | ServerFrame::Back { .. }
            | ServerFrame::Left { .. }
            | ServerFrame::Presence { .. }
            | ServerFrame::Signal { .. }
            | ServerFrame::Ice(_)
            | ServerFrame::Token { .. }
            | ServerFrame::Error(_)
            | ServerFrame::Ack { .. }
            | ServerFrame::Waiting { .. }
            | ServerFrame::Matched { .. }
            | ServerFrame::Expired { .. }
            | ServerFrame::Goaway { .. }
            | ServerFrame::Close { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::Diagnosis(_)
            | ServerFrame::Unknown => return Ok(None),
        };
        Ok(Some(event))
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
        let ErrorFrame { code, text, retry, id, retry_after_ms, state } = frame;
        let state = state
            .map(|state| VersionedState { version: state.version, value: state.value.to_owned() });
        let retry_after = retry_after_ms.map(Duration::from_millis);
        Self { code: *code, text: text.to_string(), retry: *retry, retry_after, id: *id, state }
    }
}
