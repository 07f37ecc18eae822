//! What a client knows of its room beside the members.

use super::RoomEvent;
use crate::protocol::{About, Rules, ServerFrame};
use crate::{BadId, PeerId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// What a newcomer learns of a room that is more than its members.
#[derive(Clone, Debug)]
pub struct RoomInfo {
    /// The rules.
    pub rules: Rules,
    /// Who is the host, if the room has one at the moment.
    pub host: Option<PeerId>,
    /// How often a host was made; none: the room has no hosts.
    pub term: Option<u64>,
    /// The state, once it was set.
    pub state: Option<VersionedState>,
    /// What was said to all behind the event that the newcomer named.
    pub events: Vec<RoomEvent>,
    /// The number of the last event, where they are kept.
    pub last_event: Option<u64>,
    /// Whether some of those that the newcomer asked for are gone already.
    pub missed: bool,
}

/// A room's state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "VersionedState")]
pub struct RoomState {
    /// How often it was set.
    pub version: u64,
    /// What it is; `null` if it is JSON that a [`Value`] can't hold, such as `1e999`.
    pub value: Value,
}

/// A room's state, byte for byte. Doesn't show itself in logs.
#[derive(Clone, Deserialize)]
pub struct VersionedState {
    /// How often it was set.
    pub version: u64,
    /// Byte for byte as it was sent.
    pub value: Box<RawValue>,
}

impl RoomInfo {
    pub(super) fn read(about: &About<'_>) -> Result<Self, BadId> {
        let mut events = Vec::new();
        for event in &about.events {
            if let Ok(frame) = ServerFrame::parse(event.get())
                && let Some(event) = RoomEvent::read(&frame)?
            {
                events.push(event);
            }
        }
        let state = about
            .state
            .map(|state| VersionedState { version: state.version, value: state.value.to_owned() });
        Ok(Self {
            rules: about.rules,
            host: about.host.as_deref().map(PeerId::parse).transpose()?,
            term: about.term,
            state,
            events,
            last_event: about.last_event,
            missed: about.missed,
        })
    }
}

impl From<&VersionedState> for RoomState {
    fn from(state: &VersionedState) -> Self {
        let value = serde_json::from_str(state.value.get()).unwrap_or_default();
        Self { version: state.version, value }
    }
}

impl From<VersionedState> for RoomState {
    fn from(state: VersionedState) -> Self {
        Self::from(&state)
    }
}

impl fmt::Debug for VersionedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionedState({})", self.version)
    }
}

impl PartialEq for VersionedState {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.value.get() == other.value.get()
    }
}

impl Eq for VersionedState {}
