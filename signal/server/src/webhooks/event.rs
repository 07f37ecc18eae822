//! Events: which there are, and how they are written.

use heliograph_base::UnixTime;
use serde::Serialize;
use serde_json::value::RawValue;
use signal_core::protocol::LeaveReason;
use signal_core::{Arrival, Departure, Happening};
use std::fmt;
use std::str::FromStr;
use tokio::time::Instant;

/// What a service can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A room was made.
    RoomOpened,
    /// Somebody was given a seat.
    Joined,
    /// Somebody's session ended.
    Left,
    /// A room is no more.
    RoomClosed,
}

/// A text that is no name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEvent;

impl HookEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RoomOpened, Self::Joined, Self::Left, Self::RoomClosed];

    /// Its name in what a service is told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoomOpened => "room_opened",
            Self::Joined => "joined",
            Self::Left => "left",
            Self::RoomClosed => "room_closed",
        }
    }

    pub(super) fn of(happening: &Happening) -> Self {
        match happening {
            Happening::RoomOpened(_) => Self::RoomOpened,
            Happening::Joined(_) => Self::Joined,
            Happening::Left(_) => Self::Left,
            Happening::RoomClosed(_) => Self::RoomClosed,
        }
    }
}

impl FromStr for HookEvent {
    type Err = BadEvent;

    fn from_str(text: &str) -> Result<Self, BadEvent> {
        Self::ALL.into_iter().find(|event| event.name() == text).ok_or(BadEvent)
    }
}

impl fmt::Display for BadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("needs room_opened, joined, left or room_closed")
    }
}

impl std::error::Error for BadEvent {}

/// Tells apart what is told: repeats of an event have its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventId {
    /// Of this run of the server.
    pub(super) run: u64,
    pub(super) number: u64,
}

/// A happening that waits to be told.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: EventId,
    pub(super) at: UnixTime,
    pub(super) waits_since: Instant,
    pub(super) happening: Happening,
}

/// How events that were dropped are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    pub(super) id: EventId,
    pub(super) at: UnixTime,
    pub(super) dropped: u64,
}

/// An event as it is written. Seats are texts, since they don't fit into a JavaScript number.
#[derive(Serialize)]
struct Json<'a> {
    id: String,
    at: u64,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seat: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<LeaveReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

/// One delivery: a JSON list, the hole first.
pub(super) fn body(hole: Option<Hole>, events: &[Event], metadata: bool) -> Vec<u8> {
    let hole = hole.as_ref().map(Hole::json);
    let list: Vec<Json<'_>> =
        hole.into_iter().chain(events.iter().map(|event| event.json(metadata))).collect();
    serde_json::to_vec(&list).expect("strings, numbers and raw values have a JSON form")
}

impl Event {
    fn json(&self, with_metadata: bool) -> Json<'_> {
        let event = HookEvent::of(&self.happening).name();
        let room = Some(self.happening.room().as_str());
        let json = Json { event, room, ..Json::new(self.id, self.at) };
        match &self.happening {
            Happening::RoomOpened(_) | Happening::RoomClosed(_) => {
                Json { members: Some(0), ..json }
            }
            Happening::Joined(Arrival { room: _, peer, seat, metadata, members }) => Json {
                peer: Some(peer.as_str()),
                seat: Some(seat.to_string()),
                metadata: with_metadata.then(|| metadata.value()),
                members: Some(*members),
                ..json
            },
            Happening::Left(Departure { room: _, peer, seat, reason, members }) => Json {
                peer: Some(peer.as_str()),
                seat: Some(seat.to_string()),
                reason: Some(*reason),
                members: Some(*members),
                ..json
            },
        }
    }
}

impl Hole {
    fn json(&self) -> Json<'_> {
        Json { event: "dropped", dropped: Some(self.dropped), ..Json::new(self.id, self.at) }
    }
}

impl Json<'_> {
    fn new(id: EventId, at: UnixTime) -> Self {
        Self {
            id: format!("{:016x}.{}", id.run, id.number),
            at: at.seconds,
            event: "",
            room: None,
            peer: None,
            seat: None,
            metadata: None,
            reason: None,
            members: None,
            dropped: None,
        }
    }
}
