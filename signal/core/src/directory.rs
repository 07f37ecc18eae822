//! Looking for public rooms: what is asked for, which rooms that are, and how they are shown.

use crate::{PublicRoom, SearchLimits};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::cmp::Ordering;

/// A public room with its state in a form that can be searched.
#[derive(Clone, Debug)]
pub struct ListedRoom {
    /// The room.
    pub room: PublicRoom,
    state: Option<Value>,
}

/// Which rooms are wanted, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSearch {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// Only rooms where somebody who knows no password gets in.
    pub only_open: bool,
    /// By what they are sorted; those that are equal stay in the order that they have.
    pub sort: RoomSort,
    /// The other way round.
    pub descending: bool,
    /// At most so many.
    pub limit: usize,
}

/// What a field of a room's state must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The field's name.
    pub field: String,
    /// How the field compares to the value.
    pub is: Comparison,
    /// A text, or a number or truth value as text: as what the field is.
    pub value: String,
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// By what rooms are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomSort {
    /// By their ids.
    Room,
    /// By how many members they have.
    Members,
    /// By when they were made.
    Since,
    /// By a field of their states: numbers before texts before all else.
    Field(String),
}

/// Why a search can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSearch {
    /// There are too many conditions.
    #[error("at most {0} conditions")]
    Conditions(usize),
    /// This is no condition.
    #[error("where is a field of the state, one of = != < <= > >=, and a value")]
    Condition,
    /// Rooms aren't sorted by that.
    #[error("sort is room, members, since or state.FIELD; with - the other way round")]
    Sort,
    /// Not so many, or none.
    #[error("limit is 1 to {0}")]
    Limit(usize),
}

/// A public room as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    room: &'a str,
    members: usize,
    capacity: usize,
    open: bool,
    sealed: bool,
    locked: bool,
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ShownState<'a>>,
}

#[derive(Serialize)]
struct ShownState<'a> {
    version: u64,
    value: &'a RawValue,
}

impl ListedRoom {
    /// The room as it is listed.
    #[must_use]
    pub fn new(room: PublicRoom) -> Self {
        let state = room.state.as_ref().and_then(|state| serde_json::from_str(state.get()).ok());
        Self { room, state }
    }

    /// A field of the state, if that is an object.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.state.as_ref()?.get(name)
    }

    /// The room as JSON text.
    #[must_use]
    pub fn text(&self) -> String {
        let PublicRoom { room, members, capacity, sealed, locked, since, version, state } =
            &self.room;
        let shown = Shown {
            room: room.as_str(),
            members: *members,
            capacity: *capacity,
            open: self.room.is_open(),
            sealed: *sealed,
            locked: *locked,
            since: since.seconds,
            state: state.as_deref().map(|value| ShownState { version: *version, value }),
        };
        serde_json::to_string(&shown).expect("text, numbers and raw values have a JSON form")
    }
}

impl RoomSearch {
    /// Reads the parameters of a URL: `where` (again and again), `open`, `sort`, `limit`; of those
    /// that may come once the last one counts. Others are ignored.
    ///
    /// # Errors
    /// [`BadSearch`] says what is wrong.
    pub fn read(parameters: &[(String, String)], limits: &SearchLimits) -> Result<Self, BadSearch> {
        let mut search = Self {
            conditions: Vec::new(),
            only_open: false,
            sort: RoomSort::Room,
            descending: false,
            limit: limits.rooms,
        };
        for (name, value) in parameters {
            match name.as_str() {
                "where" if search.conditions.len() >= limits.conditions_max => {
                    return Err(BadSearch::Conditions(limits.conditions_max));
                }
                "where" => search.conditions.push(Condition::read(value)?),
                "open" => search.only_open = value != "false",
                "sort" => {
                    let (name, descending) = match value.strip_prefix('-') {
                        Some(name) => (name, true),
                        None => (value.as_str(), false),
                    };
                    (search.sort, search.descending) = (RoomSort::read(name)?, descending);
                }
                "limit" => {
                    let most = limits.rooms_max;
                    let limit = value.parse().ok().filter(|limit| (1..=most).contains(limit));
                    search.limit = limit.ok_or(BadSearch::Limit(most))?;
                }
                _ => {}
            }
        }
        Ok(search)
    }

    /// The rooms that it finds, in its order.
    #[must_use]
    pub fn find<'a>(&self, rooms: &'a [ListedRoom]) -> Vec<&'a ListedRoom> {
        let mut found: Vec<_> = rooms.iter().filter(|room| self.finds(room)).collect();
        found.sort_by(|one, two| {
            let order = self.sort.compare(one, two);
            if self.descending { order.reverse() } else { order }
        });
        found.truncate(self.limit);
        found
    }

    fn finds(&self, listed: &ListedRoom) -> bool {
        let is_so = |condition: &Condition| condition.holds(listed.field(&condition.field));
        (!self.only_open || listed.room.is_open()) && self.conditions.iter().all(is_so)
    }
}

impl Comparison {
    /// All of them; those that others begin with come behind those.
    const ALL: [Self; 6] = [
        Self::NotEqual,
        Self::LessOrEqual,
        Self::GreaterOrEqual,
        Self::Equal,
        Self::Less,
        Self::Greater,
    ];

    /// What stands between a field and a value.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

impl Condition {
    fn read(text: &str) -> Result<Self, BadSearch> {
        let at = text.find(['=', '!', '<', '>']).filter(|at| *at > 0);
        let (field, rest) = text.split_at(at.ok_or(BadSearch::Condition)?);
        let found = Comparison::ALL
            .into_iter()
            .find_map(|is| rest.strip_prefix(is.sign()).map(|value| (is, value)));
        let (is, value) = found.ok_or(BadSearch::Condition)?;
        Ok(Self { field: field.to_owned(), is, value: value.to_owned() })
    }

    /// Whether a field is so. One that isn't there is equal to nothing.
    fn holds(&self, field: Option<&Value>) -> bool {
        let order = match field {
            // No number is more or less than a text.
            Some(Value::String(text)) => {
                let order = text.as_str().cmp(self.value.as_str());
                (order.is_eq() || self.number().is_none()).then_some(order)
            }
            Some(Value::Number(number)) => {
                self.number().and_then(|own| number.as_f64()?.partial_cmp(&own))
            }
            Some(Value::Bool(is)) => {
                let own = self.value.parse().ok();
                own.filter(|own: &bool| own == is).map(|_| Ordering::Equal)
            }
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => None,
        };
        match self.is {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::NotEqual => order != Some(Ordering::Equal),
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
            Comparison::Greater => order == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }

    /// The value as a number, if it is one. What Rust reads as infinite or as no number is a text.
    fn number(&self) -> Option<f64> {
        self.value.parse().ok().filter(|number: &f64| number.is_finite())
    }
}

impl RoomSort {
    fn read(name: &str) -> Result<Self, BadSearch> {
        match name {
            "room" => Ok(Self::Room),
            "members" => Ok(Self::Members),
            "since" => Ok(Self::Since),
            name => {
                let field = name.strip_prefix("state.").ok_or(BadSearch::Sort)?;
                Ok(Self::Field(field.to_owned()))
            }
        }
    }

    fn compare(&self, one: &ListedRoom, two: &ListedRoom) -> Ordering {
        match self {
            Self::Room => one.room.room.cmp(&two.room.room),
            Self::Members => one.room.members.cmp(&two.room.members),
            Self::Since => one.room.since.cmp(&two.room.since),
            Self::Field(name) => compare(one.field(name), two.field(name)),
        }
    }
}

/// Numbers before texts before all else.
fn compare(one: Option<&Value>, two: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        Some(Value::Number(_)) => 0,
        Some(Value::String(_)) => 1,
        Some(_) => 2,
        None => 3,
    };
    let by_value = || match (one, two) {
        (Some(Value::Number(one)), Some(Value::Number(two))) => {
            one.as_f64().partial_cmp(&two.as_f64())
        }
        (Some(Value::String(one)), Some(Value::String(two))) => Some(one.cmp(two)),
        _ => None,
    };
    rank(one).cmp(&rank(two)).then_with(|| by_value().unwrap_or(Ordering::Equal))
}
