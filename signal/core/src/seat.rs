//! One seat in a room: who has it, and the session that belongs to it.

use crate::hub::Pairs;
use crate::protocol::{LeaveReason, Member as MemberFrame};
use crate::session::{Incoming, Outgoing};
use crate::{EdgeId, Grant, IceUrls, Metadata, Once, PeerId, Role, RoomId, SessionKey};
use heliograph_base::{Time, UnixTime};
use std::sync::Arc;

/// A seat, from its join until its session ends.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Grows from seat to seat, so nobody has the same one again.
    pub(crate) number: u64,
    pub(crate) room: RoomId,
    pub(crate) peer: PeerId,
    pub(crate) metadata: Metadata,
    pub(crate) key: SessionKey,
    pub(crate) ice: Arc<IceUrls>,
    /// What its token permits; none in rooms that are open to everybody.
    pub(crate) grant: Option<Box<Grant>>,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    pub(crate) presence: Presence,
    /// When something last came from the client by whatever edge, or when it lost its last one.
    pub(crate) heard: Time,
    /// When it was given.
    pub(crate) since: UnixTime,
    /// Edges that only send.
    pub(crate) senders: Vec<EdgeId>,
    /// Its place in the news of its room: what stands before it, it knows.
    pub(crate) told: u64,
    /// By what the client asked for the seat, as long as it may not know that it has it.
    pub(crate) once: Option<Once>,
    /// Whom a ban would hit.
    pub(crate) source: Option<Arc<str>>,
    /// The last attempt to resume that counts.
    pub(crate) attempt: u64,
    /// Its links to others, if any were spoken of.
    pub(crate) pairs: Option<Box<Pairs>>,
    /// Its TURN credentials would be good for longer, but for the end of its token.
    pub(crate) is_ice_cut: bool,
}

/// Whether a client has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// This edge passes it what it is sent.
    Here(EdgeId),
    /// It has lost its last one.
    Gone {
        /// Tells apart this absence from others before it.
        absence: u64,
        /// What the others are told if it doesn't come back.
        reason: LeaveReason,
        /// Whether they are told that it is away.
        is_told: bool,
    },
}

impl Seat {
    pub(crate) fn edge(&self) -> Option<EdgeId> {
        match self.presence {
            Presence::Here(edge) => Some(edge),
            Presence::Gone { .. } => None,
        }
    }

    /// Whether this is the absence it is in.
    pub(crate) fn is_in(&self, which: u64) -> bool {
        matches!(self.presence, Presence::Gone { absence, .. } if absence == which)
    }

    /// Whether the others know that it is away.
    pub(crate) fn is_away(&self) -> bool {
        matches!(self.presence, Presence::Gone { is_told: true, .. })
    }

    /// What its token says that it is.
    pub(crate) fn role(&self) -> Option<&str> {
        self.grant.as_ref().and_then(|grant| grant.role.as_ref()).map(Role::as_str)
    }

    /// As the other one of the pair should treat it: the one that came later makes the first offer
    /// (`offers`), since it knows of the other first, and the one that was there gives way
    /// (`polite`), so that the first offer of a pair is never rolled back.
    pub(crate) fn seen_by(&self, other: u64) -> MemberFrame<'_> {
        MemberFrame {
            peer: self.peer.as_str().into(),
            metadata: self.metadata.value(),
            polite: other < self.number,
            offers: self.number < other,
            away: self.is_away(),
            role: self.role().map(Into::into),
        }
    }
}
