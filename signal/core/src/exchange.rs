//! What crosses between an edge and the hub: requests one way, events the other.
//!
//! An [`Edge`](crate::Edge) knows one client's connection, a [`Hub`](crate::Hub) knows rooms and
//! sessions. All they say to each other are the values here, so it is all the same whether a
//! channel or a network lies between them.

use crate::protocol::{CloseCode, ErrorCode, IceServer, LeaveReason, Link, ServerFrame};
use crate::{
    Grant, NewRoom, Once, PairFacts, Password, PeerId, RoomId, RoomRequest, SessionKey,
    SessionName, Token,
};
use serde_json::value::RawValue;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// Names one edge to the hub. Who makes the edge chooses it; nobody else in the process may have
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u64);

/// What an edge asks of the hub that owns its room.
#[derive(Clone, Debug)]
pub enum Request {
    /// Asks for a seat; answered with [`Event::Seated`] or [`Event::Refused`].
    Join(Box<Join>),
    /// Takes a session up again; answered likewise.
    Resume(Box<Resume>),
    /// Shows a newer token for the session.
    Renew(Box<Renew>),
    /// All frames up to this number have come.
    Ack(u64),
    /// Passes a payload on.
    Signal(Signal),
    /// Asks for something that the room decides.
    Room(Box<RoomRequest>),
    /// Says how the client's link to another member is. Not answered.
    Report(Box<Report>),
    /// Asks what is known of a pair; answered with [`Event::Facts`] or [`Event::Refused`].
    Diagnose(Box<Diagnose>),
    /// A numbered request that the edge couldn't read; it counts like one that is refused.
    Unreadable {
        /// Its number.
        id: u64,
        /// What is wrong.
        code: ErrorCode,
        /// The same for a developer.
        text: String,
    },
    /// Gives the seat up, if there is one. Nothing follows it.
    Leave(LeaveReason),
    /// The connection is gone, but the session may be resumed. Nothing follows it.
    Detach(Detached),
}

impl Request {
    /// What others than the hub have to look at before it is asked.
    #[must_use]
    pub const fn need(&self) -> Need<'_> {
        match self {
            Self::Join(join) => Need::Seat(join),
            Self::Resume(resume) => Need::Session(resume),
            Self::Renew(renew) => Need::Check(renew),
            Self::Leave(_) | Self::Detach(_) => Need::End,
            Self::Ack(_)
            | Self::Signal(_)
            | Self::Room(_)
            | Self::Report(_)
            | Self::Diagnose(_)
            | Self::Unreadable { .. } => Need::Nothing,
        }
    }
}

/// What a [`Request`] needs beside the hub.
#[derive(Clone, Copy, Debug)]
pub enum Need<'a> {
    /// To be let in.
    Seat(&'a Join),
    /// To be let in again.
    Session(&'a Resume),
    /// A look at the token.
    Check(&'a Renew),
    /// That nothing more is done for the connection.
    End,
    /// It is of a session that goes on.
    Nothing,
}

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// It broke.
    Lost,
    /// Nothing was heard from the client.
    Vanished,
    /// It was for one request only; the client comes again with the next.
    Between,
}

/// Asks for a seat.
#[derive(Clone, Debug)]
pub struct Join {
    /// The room, made if it isn't there.
    pub room: RoomId,
    /// What the others are told about the newcomer.
    pub metadata: Metadata,
    /// Tells by which tries the client wants the same seat.
    pub once: Option<Once>,
    /// The STUN and TURN servers at addresses that this client can reach.
    pub ice: Arc<IceUrls>,
    /// For who makes the room by coming.
    pub create: Option<Box<NewRoom>>,
    /// The room's password.
    pub password: Option<Password>,
    /// The number of the last event that the client knows.
    pub after: Option<u64>,
    /// Whom a ban would hit: who the client is, or where it comes from.
    pub source: Option<Arc<str>>,
    /// The client's number for the request.
    pub id: Option<u64>,
    /// What the client shows to be let in: for whoever checks it on the way to the hub.
    pub token: Option<Token>,
    /// What that permits; none where everybody is let in.
    pub grant: Option<Box<Grant>>,
}

/// Shows a newer token before the one of the session expires.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The token: for whoever checks it on the way to the hub.
    pub token: Token,
    /// What it permits.
    pub grant: Option<Box<Grant>>,
    /// The client's number for the request.
    pub id: Option<u64>,
}

/// Says how the client's link to another member is.
#[derive(Clone, Debug)]
pub struct Report {
    /// The other.
    pub peer: PeerId,
    /// How it is.
    pub link: Box<Link>,
}

/// Asks what is known of the client's link to another member.
#[derive(Clone, Debug)]
pub struct Diagnose {
    /// The other.
    pub peer: PeerId,
    /// The client's number for the request.
    pub id: Option<u64>,
}

/// Takes a session up again.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Which session.
    pub name: SessionName,
    /// Shows that it is the client's.
    pub key: SessionKey,
    /// Counts the client's attempts, if it counts: one behind another that came is late, and
    /// changes nothing.
    pub attempt: Option<u64>,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The client's number for the request.
    pub id: Option<u64>,
}

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To get frames from the one after `seq` on, instead of any other connection.
    Listen {
        /// The number of the last frame that came.
        seq: u64,
        /// The STUN and TURN servers at addresses that this client can reach.
        ice: Arc<IceUrls>,
        /// Whether nothing comes from the client by it: it must show by others that it is alive.
        is_oneway: bool,
    },
    /// Only to send: another connection gets the frames.
    Send,
}

/// Passes a payload to one other member of the room.
#[derive(Clone)]
pub struct Signal {
    /// The addressee.
    pub to: PeerId,
    /// Byte for byte what the client sent.
    pub data: Box<RawValue>,
    /// The client's number for the request.
    pub id: Option<u64>,
    /// All frames up to this number have come, as in [`Request::Ack`].
    pub ack: Option<u64>,
}

/// Leaves out the payload: signals are never logged.
impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, data, id, ack } = self;
        f.debug_struct("Signal")
            .field("to", to)
            .field("bytes", &data.get().len())
            .field("id", id)
            .field("ack", ack)
            .finish()
    }
}

/// The STUN and TURN servers that a client is told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceUrls {
    /// `stun:` URLs (RFC 7064): need no credentials.
    pub stun: Vec<String>,
    /// `turn:` URLs (RFC 7065): only told together with credentials.
    pub turn: Vec<String>,
    /// Servers of others, told as they stand.
    pub others: Vec<IceServer>,
}

/// What a hub tells an edge.
#[derive(Clone, Debug)]
pub enum Event {
    /// The seat is given, or taken again; what the client is told follows.
    Seated {
        /// The client's own peer id.
        peer: PeerId,
    },
    /// A frame to pass to the client.
    Frame(Numbered),
    /// A request was refused. Not told again if it gets lost.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The same for a developer, if there is more to say than the code's own advice.
        text: Option<Box<str>>,
        /// The request's number.
        id: Option<u64>,
        /// After how long it is the client's turn again, if that is known.
        retry_after: Option<Duration>,
    },
    /// What the hub knows of a pair. Whoever carries it works out the diagnosis, and asks a relay
    /// before.
    Facts(Box<PairFacts>),
    /// The answer to [`Request::Detach`] of an edge that only sends: all that it asked for was
    /// carried out, and of the client's requests all up to this one.
    Done {
        /// The number of the request.
        ack: u64,
    },
    /// The connection ends: to be closed at once, without waiting for what is still queued.
    Close(CloseCode),
}

/// A frame, and the numbers that go with it.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The frame's own, if it is kept until it is acknowledged.
    pub seq: Option<u64>,
    /// All of the client's requests up to this one were carried out.
    pub ack: Option<u64>,
    /// The frame, which many sessions may share.
    pub frame: FrameText,
}

impl Numbered {
    /// The frame with its numbers in it.
    #[must_use]
    pub fn text(&self) -> FrameText {
        if (self.seq, self.ack) == (None, None) {
            return self.frame.clone();
        }
        let mut text = Vec::with_capacity(self.bytes_max());
        self.write(&mut text);
        let text = str::from_utf8(&text).expect("made of a str and digits");
        FrameText(text.into())
    }

    /// Appends that text.
    pub fn write(&self, text: &mut Vec<u8>) {
        text.push(b'{');
        for (name, number) in [("seq", self.seq), ("ack", self.ack)] {
            if let Some(number) = number {
                // Writing to a Vec doesn't fail.
                let _ = write!(text, "\"{name}\":{number},");
            }
        }
        text.extend_from_slice(&self.frame.0.as_bytes()[1..]);
    }

    /// The most bytes that it can have.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        const NUMBERS_BYTES_MAX: usize = 2 * r#""seq":18446744073709551615,"#.len();
        self.frame.len() + NUMBERS_BYTES_MAX
    }
}

/// The text of a frame to a client, encoded once, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameText(Arc<str>);

impl FrameText {
    /// Writes a frame.
    #[must_use]
    pub fn encode(frame: &ServerFrame<'_>) -> Self {
        Self(frame.encode().into())
    }

    /// Makes one of several frames that tell of members.
    pub(crate) fn presence(frames: &[&Self]) -> Self {
        if let [only] = frames {
            return (*only).clone();
        }
        let texts: Vec<&str> = frames.iter().map(|frame| frame.as_str()).collect();
        Self(format!(r#"{{"type":"presence","changes":[{}]}}"#, texts.join(",")).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text's length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no frame is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Shows only the length: a frame may hold a signal, and signals are never logged.
impl fmt::Debug for FrameText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameText({} bytes)", self.len())
    }
}

/// What a peer tells the others about itself: a JSON object, kept and passed on byte for byte.
/// Clones share it.
#[derive(Clone)]
pub struct Metadata(Arc<RawValue>);

impl Metadata {
    /// Takes a JSON value; none stands for `{}`.
    ///
    /// # Errors
    /// [`BadMetadata`] if it is no object or has more than `bytes_max` bytes.
    pub fn new(value: Option<&RawValue>, bytes_max: usize) -> Result<Self, BadMetadata> {
        let text = value.map_or("{}", RawValue::get);
        if text.len() > bytes_max || !text.starts_with('{') {
            return Err(BadMetadata { bytes_max });
        }
        let copy = RawValue::from_string(text.to_owned()).expect("it has been read as JSON");
        Ok(Self(copy.into()))
    }

    /// The object.
    #[must_use]
    pub fn value(&self) -> &RawValue {
        &self.0
    }
}

/// Shows only the length: metadata are the peers' own business.
impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metadata({} bytes)", self.0.get().len())
    }
}

/// Metadata that are no JSON object, or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata is a JSON object of at most {bytes_max} bytes")]
pub struct BadMetadata {
    /// The limit.
    pub bytes_max: usize,
}
