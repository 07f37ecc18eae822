//! What a member asks of its room.

use crate::PeerId;
use crate::protocol::RoomFrame;
use serde_json::value::RawValue;

/// What a member asks of its room. Numbered as signals are, so that it is done once, in order and
/// across connections.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Say something to all, to some or to those with a role.
    Broadcast {
        /// What.
        data: &'a RawValue,
        /// To whom.
        to: Recipients<'a>,
    },
    /// Set the room's state.
    State {
        /// To what.
        value: &'a RawValue,
        /// Only if this is the version that it has.
        if_version: Option<u64>,
    },
    /// Tell the others something else about oneself.
    Metadata(&'a RawValue),
    /// Change the room's rules, a [`RulesPatch`](crate::protocol::RulesPatch).
    Rules {
        /// What changes.
        rules: &'a RawValue,
        /// The term of the host.
        term: u64,
    },
    /// Make another member the host.
    Host {
        /// Whom.
        to: &'a PeerId,
        /// The term of the host.
        term: u64,
    },
    /// Remove a member.
    Kick {
        /// Whom.
        peer: &'a PeerId,
        /// Whether it may not come back.
        ban: bool,
        /// The term of the host.
        term: u64,
    },
}

/// Who is told what is said to several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipients<'a> {
    /// All, the sender included.
    #[default]
    All,
    /// These others.
    Peers(&'a [PeerId]),
    /// The others with this role.
    Role(&'a str),
}

impl<'a> Request<'a> {
    /// The frame that asks for it.
    pub(super) fn frame(self) -> RoomFrame<'a> {
        match self {
            Self::Broadcast { data, to } => {
                let (peers, role) = match to {
                    Recipients::All => (None, None),
                    Recipients::Peers(peers) => {
                        (Some(peers.iter().map(|peer| peer.as_str().into()).collect()), None)
                    }
                    Recipients::Role(role) => (None, Some(role.into())),
                };
                RoomFrame::Broadcast { data, peers, role }
            }
            Self::State { value, if_version } => RoomFrame::State { value, if_version },
            Self::Metadata(metadata) => RoomFrame::Metadata { metadata },
            Self::Rules { rules, term } => RoomFrame::Rules { rules, term },
            Self::Host { to, term } => RoomFrame::Host { to: to.as_str().into(), term },
            Self::Kick { peer, ban, term } => {
                RoomFrame::Kick { peer: peer.as_str().into(), ban, term }
            }
        }
    }
}
