//! What clients ask of rooms, once it is read and checked.

use crate::protocol::{ErrorCode, RoomFrame, RoomOptions, RulesPatch, Writers};
use crate::{Config, Metadata, PeerId, Role};
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;
use subtle::ConstantTimeEq as _;

/// Asks for something that the room decides.
#[derive(Clone, Debug)]
pub struct RoomRequest {
    /// What.
    pub action: RoomAction,
    /// The client's number for the request.
    pub id: Option<u64>,
}

/// What is asked for.
#[derive(Clone)]
pub enum RoomAction {
    /// Say something to several members.
    Broadcast {
        /// Byte for byte what the client sent.
        data: Box<RawValue>,
        /// To whom.
        to: Audience,
    },
    /// Set the state.
    State {
        /// Byte for byte what the client sent.
        value: Box<RawValue>,
        /// Only if this is the version that it has.
        if_version: Option<u64>,
    },
    /// Tell the others something else about the client.
    Metadata(Metadata),
    /// Change the rules.
    Rules {
        /// How.
        patch: RulesPatch,
        /// The term of the host.
        term: u64,
    },
    /// Make another member the host.
    HandOver {
        /// Whom.
        to: PeerId,
        /// The term of the host.
        term: u64,
    },
    /// Remove a member.
    Kick {
        /// Whom.
        peer: PeerId,
        /// Whether it may not come back.
        ban: bool,
        /// The term of the host.
        term: u64,
    },
}

/// Leaves out what is said.
impl fmt::Debug for RoomAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broadcast { .. } => "Broadcast",
            Self::State { .. } => "State",
            Self::Metadata(_) => "Metadata",
            Self::Rules { .. } => "Rules",
            Self::HandOver { .. } => "HandOver",
            Self::Kick { .. } => "Kick",
        })
    }
}

/// To whom something is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// To everybody, the sender included: so all see it at the same place among others.
    All,
    /// To these peers, if they are there.
    Peers(Vec<PeerId>),
    /// To all others with this role.
    Role(Role),
}

/// A room's password. Doesn't show itself in logs.
#[derive(Clone)]
pub struct Password(Box<str>);

impl Password {
    /// Takes a text as it stands.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether it is the same, in a time that tells nothing but its length.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What who makes a room says of it, checked.
#[derive(Clone, Debug, Default)]
pub struct NewRoom {
    /// The most members.
    pub capacity: Option<usize>,
    /// Nobody else may join.
    pub sealed: bool,
    /// It is in the list of rooms.
    pub public: bool,
    /// One of its members is its host.
    pub hosted: bool,
    /// What newcomers must know.
    pub password: Option<Password>,
    /// Who may set its state.
    pub writers: Writers,
    /// How many broadcasts are kept for newcomers.
    pub history: usize,
    /// Its first state.
    pub state: Option<Box<RawValue>>,
    /// For how long it stays without members; none: not at all.
    pub idle: Option<Duration>,
}

/// Why options, rules or a state can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoom {
    /// They can't be read.
    #[error("these are no options of a room: {0}")]
    Unreadable(String),
    /// No room has so many members, or none.
    #[error("a room's capacity is 1 to {0}")]
    Capacity(usize),
    /// So many broadcasts aren't kept.
    #[error("a room keeps at most {0} broadcasts")]
    History(usize),
    /// The password is too long, or empty.
    #[error("a password has 1 to {0} bytes")]
    Password(usize),
    /// The state is too large.
    #[error("a state has at most {0} bytes")]
    State(usize),
}

impl NewRoom {
    /// Reads [`RoomOptions`].
    ///
    /// # Errors
    /// [`BadRoom`] says what is wrong.
    pub fn read(text: &str, config: &Config) -> Result<Self, BadRoom> {
        let options: RoomOptions<'_> =
            serde_json::from_str(text).map_err(|error| BadRoom::Unreadable(error.to_string()))?;
        let RoomOptions { sealed, public, hosted, writers, .. } = options;
        check_capacity(options.capacity, config)?;
        if options.history > config.history_max {
            return Err(BadRoom::History(config.history_max));
        }
        check_state(options.state, config)?;
        Ok(Self {
            capacity: options.capacity,
            sealed,
            public,
            hosted,
            password: check_password(options.password.as_deref(), config)?,
            writers,
            history: options.history,
            state: options.state.map(ToOwned::to_owned),
            idle: None,
        })
    }
}

/// What a frame asks of the room.
pub(crate) fn read_action(
    frame: &RoomFrame<'_>,
    config: &Config,
) -> Result<RoomAction, (ErrorCode, String)> {
    let bad = |bad: BadRoom| (ErrorCode::BadRules, bad.to_string());
    // What is no id is nobody's id.
    let peer = |text: &str| {
        let code = ErrorCode::NoSuchPeer;
        PeerId::parse(text).map_err(|_| (code, code.advice().to_owned()))
    };
    Ok(match frame {
        RoomFrame::Broadcast { data, peers, role } => {
            let to = match (peers, role) {
                (Some(peers), _) => {
                    let peers = peers.iter().take(config.room_members_max);
                    Audience::Peers(peers.filter_map(|peer| PeerId::parse(peer).ok()).collect())
                }
                (None, Some(role)) => Audience::Role(
                    Role::parse(role).map_err(|bad| (ErrorCode::BadFrame, bad.to_string()))?,
                ),
                (None, None) => Audience::All,
            };
            RoomAction::Broadcast { data: (*data).to_owned(), to }
        }
        RoomFrame::State { value, if_version } => {
            check_state(Some(value), config).map_err(bad)?;
            RoomAction::State { value: (*value).to_owned(), if_version: *if_version }
        }
        RoomFrame::Metadata { metadata } => {
            let metadata = Metadata::new(Some(metadata), config.metadata_bytes_max);
            RoomAction::Metadata(metadata.map_err(|bad| (ErrorCode::BadMetadata, bad.to_string()))?)
        }
        RoomFrame::Rules { rules, term } => {
            let patch = read_patch(rules.get(), config).map_err(bad)?;
            RoomAction::Rules { patch, term: *term }
        }
        RoomFrame::Host { to, term } => RoomAction::HandOver { to: peer(to)?, term: *term },
        RoomFrame::Kick { peer: whom, ban, term } => {
            RoomAction::Kick { peer: peer(whom)?, ban: *ban, term: *term }
        }
    })
}

/// Reads a [`RulesPatch`].
fn read_patch(text: &str, config: &Config) -> Result<RulesPatch, BadRoom> {
    let patch: RulesPatch =
        serde_json::from_str(text).map_err(|error| BadRoom::Unreadable(error.to_string()))?;
    check_capacity(patch.capacity, config)?;
    check_password(patch.password.as_ref().and_then(Option::as_deref), config)?;
    Ok(patch)
}

fn check_state(state: Option<&RawValue>, config: &Config) -> Result<(), BadRoom> {
    let fits = state.is_none_or(|state| state.get().len() <= config.state_bytes_max);
    if fits { Ok(()) } else { Err(BadRoom::State(config.state_bytes_max)) }
}

fn check_capacity(capacity: Option<usize>, config: &Config) -> Result<(), BadRoom> {
    let most = config.room_members_max;
    let fits = capacity.is_none_or(|capacity| (1..=most).contains(&capacity));
    if fits { Ok(()) } else { Err(BadRoom::Capacity(most)) }
}

fn check_password(text: Option<&str>, config: &Config) -> Result<Option<Password>, BadRoom> {
    let most = config.password_bytes_max;
    match text {
        Some(text) if text.is_empty() || text.len() > most => Err(BadRoom::Password(most)),
        text => Ok(text.map(Password::new)),
    }
}
