//! Who looks for public rooms: whatever is asked is refused or read, reads the same again, and
//! finds what a naive reader of the protocol finds.

use crate::input::Input;
use heliograph_base::UnixTime;
use serde_json::Value;
use serde_json::value::RawValue;
use signal_core::{
    Comparison, Condition, ListedRoom, PublicRoom, RoomId, RoomSearch, RoomSort, SearchLimits,
};
use std::collections::BTreeMap;

/// States of rooms, by which the interesting cases are at hand.
const STATES: [&str; 12] = [
    r#"{"a":1}"#,
    r#"{"a":"1"}"#,
    r#"{"a":-0.0,"b":1e300}"#,
    r#"{"a":0,"b":"inf"}"#,
    r#"{"a":true,"b":false}"#,
    r#"{"a":null,"b":[1]}"#,
    r#"{"b":"true","a":"nan"}"#,
    r#"{"a":9007199254740993,"":2}"#,
    r#"{"a":{"b":1},"state.a":"\u00e9"}"#,
    r#"{"a":1,"a":2}"#,
    "[1]",
    "null",
];

/// Reads the bytes as rooms and, behind them, lines that are parameters of a search.
///
/// # Panics
/// If a limit doesn't hold, a search reads otherwise when it is written again, or finds another
/// list than it should.
pub fn directory(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let limits = SearchLimits {
        conditions_max: usize::from(input.byte() % 4),
        rooms: 1 + usize::from(input.byte() % 3),
        rooms_max: 4,
    };
    let many = input.byte() % 8;
    let mut rooms: Vec<ListedRoom> = (0..many).map(|number| room(number, &mut input)).collect();
    let text = String::from_utf8_lossy(input.bytes(usize::MAX)).into_owned();
    if let Ok(state) = RawValue::from_string(text.lines().last().unwrap_or_default().to_owned()) {
        rooms.push(listed(255, 0, Some(state)));
    }
    let parameters: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let parameters: Vec<_> =
        parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let Ok(search) = RoomSearch::read(&parameters, &limits) else { return };
    assert!(search.conditions.len() <= limits.conditions_max);
    assert!((1..=limits.rooms_max).contains(&search.limit));
    let written = write(&search);
    assert_eq!(RoomSearch::read(&written, &limits).as_ref(), Ok(&search), "{written:?}");
    check_found(&search, &rooms);
    for listed in &rooms {
        // Not as values: a state may have numbers that are JSON, but too large for one.
        let shown: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(&listed.text()).expect("it shows itself as JSON");
        assert_eq!(shown["room"].get(), format!("\"{}\"", listed.room.room.as_str()));
    }
}

fn room(number: u8, input: &mut Input<'_>) -> ListedRoom {
    let (kind, state) = (input.byte(), input.byte());
    let state = STATES.get(usize::from(state % 16));
    let state = state.map(|text| RawValue::from_string((*text).to_owned()).expect("it is JSON"));
    listed(number, kind, state)
}

fn listed(number: u8, kind: u8, state: Option<Box<RawValue>>) -> ListedRoom {
    ListedRoom::new(PublicRoom {
        room: RoomId::parse(&format!("room-{number}")).expect("it is an id"),
        members: usize::from(kind % 4),
        capacity: 3,
        sealed: (kind / 4).is_multiple_of(4),
        locked: (kind / 16).is_multiple_of(4),
        since: UnixTime::from_seconds(u64::from(kind / 64)),
        version: 1,
        state,
    })
}

/// A search as the parameters of a URL.
fn write(search: &RoomSearch) -> Vec<(String, String)> {
    let RoomSearch { conditions, only_open, sort, descending, limit } = search;
    let sort = match sort {
        RoomSort::Room => "room".to_owned(),
        RoomSort::Members => "members".to_owned(),
        RoomSort::Since => "since".to_owned(),
        RoomSort::Field(name) => format!("state.{name}"),
    };
    let sort = if *descending { format!("-{sort}") } else { sort };
    let condition =
        |Condition { field, is, value }: &Condition| format!("{field}{}{value}", is.sign());
    let conditions = conditions.iter().map(|one| ("where".to_owned(), condition(one)));
    let others = [("open", only_open.to_string()), ("sort", sort), ("limit", limit.to_string())];
    conditions.chain(others.map(|(name, value)| (name.to_owned(), value))).collect()
}

fn check_found(search: &RoomSearch, rooms: &[ListedRoom]) {
    let is_wanted = |listed: &&ListedRoom| {
        let PublicRoom { members, capacity, sealed, locked, .. } = listed.room;
        let is_open = !sealed && !locked && members < capacity;
        let holds = |one: &Condition| holds(one, listed.field(&one.field));
        (is_open || !search.only_open) && search.conditions.iter().all(holds)
    };
    // Each goes behind all that aren't more than it.
    let mut wanted: Vec<&ListedRoom> = Vec::new();
    for listed in rooms.iter().filter(is_wanted) {
        let is_before = |other: &&ListedRoom| match search.descending {
            false => is_less(&search.sort, listed, other),
            true => is_less(&search.sort, other, listed),
        };
        let at = wanted.iter().position(is_before).unwrap_or(wanted.len());
        wanted.insert(at, listed);
    }
    wanted.truncate(search.limit);
    let name = |listed: &&ListedRoom| listed.room.room.to_string();
    let found: Vec<String> = search.find(rooms).iter().map(name).collect();
    assert_eq!(found, wanted.iter().map(name).collect::<Vec<_>>(), "{search:?}");
}

/// What docs/protocol.md says of `where`, one comparison at a time.
fn holds(Condition { is, value, .. }: &Condition, field: Option<&Value>) -> bool {
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    let (less, equal, greater) = match field {
        Some(Value::Number(own)) => {
            let own = own.as_f64().expect("all numbers are");
            number.map_or((false, false, false), |it| (own < it, own == it, own > it))
        }
        Some(Value::String(own)) => {
            let is_ordered = number.is_none();
            (is_ordered && own < value, own == value, is_ordered && own > value)
        }
        Some(Value::Bool(own)) => (false, *value == own.to_string(), false),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => (false, false, false),
    };
    match is {
        Comparison::Equal => equal,
        Comparison::NotEqual => !equal,
        Comparison::Less => less,
        Comparison::LessOrEqual => less || equal,
        Comparison::Greater => greater,
        Comparison::GreaterOrEqual => greater || equal,
    }
}

fn is_less(sort: &RoomSort, one: &ListedRoom, two: &ListedRoom) -> bool {
    match sort {
        RoomSort::Room => one.room.room < two.room.room,
        RoomSort::Members => one.room.members < two.room.members,
        RoomSort::Since => one.room.since < two.room.since,
        RoomSort::Field(name) => match (one.field(name), two.field(name)) {
            (Some(Value::Number(one)), Some(Value::Number(two))) => one.as_f64() < two.as_f64(),
            (Some(Value::String(one)), Some(Value::String(two))) => one < two,
            (one, two) => rank(one) < rank(two),
        },
    }
}

fn rank(field: Option<&Value>) -> u8 {
    match field {
        Some(Value::Number(_)) => 0,
        Some(Value::String(_)) => 1,
        Some(_) => 2,
        None => 3,
    }
}
