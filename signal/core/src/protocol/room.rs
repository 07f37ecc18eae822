//! What frames say of rooms: their rules, their state, and what was said in them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What who makes a room says of it. Where it says nothing, anybody may come and nothing is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RoomOptions<'a> {
    /// The most members; none: as many as the server allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<usize>,
    /// Nobody else may join.
    pub sealed: bool,
    /// It is in the list of rooms.
    pub public: bool,
    /// One of its members is its host.
    pub hosted: bool,
    /// What newcomers must know.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub password: Option<Cow<'a, str>>,
    /// Who may set its state.
    pub writers: Writers,
    /// How many broadcasts are kept for newcomers.
    pub history: usize,
    /// Its first state.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a RawValue>,
}

/// Who may set a room's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writers {
    /// Every member.
    #[default]
    All,
    /// Only its host.
    Host,
}

/// The rules that a host changes; the others stay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesPatch {
    /// As in [`RoomOptions`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<usize>,
    /// As in [`RoomOptions`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<bool>,
    /// As in [`RoomOptions`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// A new one, or with `null` none any more.
    #[serde(deserialize_with = "even_null", skip_serializing_if = "Option::is_none")]
    pub password: Option<Option<String>>,
    /// As in [`RoomOptions`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writers: Option<Writers>,
}

/// Tells a value that is `null` from none.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// The rules of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The most members.
    pub capacity: usize,
    /// Nobody else may join.
    pub sealed: bool,
    /// It is in the list of rooms.
    pub public: bool,
    /// Newcomers must know a password.
    pub locked: bool,
    /// Who may set its state.
    pub writers: Writers,
    /// How many broadcasts are kept for newcomers.
    pub history: usize,
}

/// A room's state.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RoomState<'a> {
    /// How often it was set.
    pub version: u64,
    /// What it is: any JSON value, byte for byte.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

/// What a newcomer learns of a room that is more than its members.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About<'a> {
    /// The rules.
    pub rules: Rules,
    /// Who is the host, if the room has one at the moment.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Cow<'a, str>>,
    /// How often a host was made; none: the room has no hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The state, once it was set.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RoomState<'a>>,
    /// What was said behind the number that the newcomer asked for: frames like those that follow.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<&'a RawValue>,
    /// The number of the last event, where they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<u64>,
    /// Whether some of them are gone already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed: bool,
}
