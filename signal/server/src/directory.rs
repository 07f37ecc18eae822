//! The public rooms, for whoever looks for one: a list that is at most a second old, so that
//! looking costs the shards nothing however many look.

use crate::edges::Edges;
use crate::orders::{Order, ask};
use heliograph_base::Time;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use signal_core::PublicRoom;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How old the list may be.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(1);

/// The last list.
#[derive(Debug, Default)]
pub(crate) struct Directory(Mutex<Option<(Time, Arc<[Entry]>)>>);

/// A public room with its state in a form that can be searched.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) room: PublicRoom,
    state: Option<Value>,
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

impl Directory {
    /// The public rooms; those of shards that don't answer are left out.
    pub(crate) async fn rooms(&self, edges: &Edges) -> Arc<[Entry]> {
        let mut known = self.0.lock().await;
        let now = edges.now();
        if let Some((at, rooms)) = &*known
            && now.since(*at) < AGE_MAX
        {
            return rooms.clone();
        }
        let mut rooms = Vec::new();
        for orders in &edges.orders {
            if let Ok(answer) = ask(orders, |answer| Order::Public { answer }).await
                && let Ok(public) = answer.await
            {
                rooms.extend(public.into_iter().map(Entry::new));
            }
        }
        rooms.sort_unstable_by(|one, two| one.room.room.cmp(&two.room.room));
        let rooms: Arc<[Entry]> = rooms.into();
        *known = Some((now, rooms.clone()));
        rooms
    }
}

impl Entry {
    fn new(room: PublicRoom) -> Self {
        let state = room.state.as_ref().and_then(|state| serde_json::from_str(state.get()).ok());
        Self { room, state }
    }

    /// A field of the state, if that is an object.
    fn field(&self, name: &str) -> Option<&Value> {
        self.state.as_ref()?.get(name)
    }

    /// The room as JSON text.
    pub(crate) fn text(&self) -> String {
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

/// Which rooms are wanted, and in which order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Search {
    conditions: Vec<Condition>,
    only_open: bool,
    sort: Sort,
    descending: bool,
    limit: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    field: String,
    is: Comparison,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sort {
    Room,
    Members,
    Since,
    Field(String),
}

/// The most conditions of one search.
const CONDITIONS_MAX: usize = 8;

/// The most rooms of one answer.
pub(crate) const LIMIT_MAX: usize = 100;

const LIMIT: usize = 50;

/// What stands between a field and a value; the longer ones first.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Search {
    /// Reads the parameters of a URL: `where` (again and again), `open`, `sort`, `limit`. Others
    /// are ignored.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn read(parameters: &[(String, String)]) -> Result<Self, String> {
        let mut search = Self {
            conditions: Vec::new(),
            only_open: false,
            sort: Sort::Room,
            descending: false,
            limit: LIMIT,
        };
        for (name, value) in parameters {
            match name.as_str() {
                "where" if search.conditions.len() >= CONDITIONS_MAX => {
                    return Err(format!("at most {CONDITIONS_MAX} conditions"));
                }
                "where" => search.conditions.push(Condition::read(value)?),
                "open" => search.only_open = value != "false",
                "sort" => {
                    let (name, descending) = match value.strip_prefix('-') {
                        Some(name) => (name, true),
                        None => (value.as_str(), false),
                    };
                    (search.sort, search.descending) = (Sort::read(name)?, descending);
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                    search.limit = limit.ok_or(format!("limit is 1 to {LIMIT_MAX}"))?;
                }
                _ => {}
            }
        }
        Ok(search)
    }

    /// The rooms that it finds, in its order.
    pub(crate) fn find<'a>(&self, rooms: &'a [Entry]) -> Vec<&'a Entry> {
        let mut found: Vec<_> = rooms.iter().filter(|entry| self.finds(entry)).collect();
        found.sort_by(|one, two| {
            let order = self.sort.compare(one, two);
            if self.descending { order.reverse() } else { order }
        });
        found.truncate(self.limit);
        found
    }

    fn finds(&self, entry: &Entry) -> bool {
        let is_so = |condition: &Condition| condition.holds(entry.field(&condition.field));
        (!self.only_open || entry.room.is_open()) && self.conditions.iter().all(is_so)
    }
}

impl Condition {
    fn read(text: &str) -> Result<Self, String> {
        let at = text.find(['=', '!', '<', '>']).filter(|at| *at > 0);
        let found = at.and_then(|at| {
            let (field, rest) = text.split_at(at);
            let known = COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign));
            known.map(|(sign, is)| (field, *is, &rest[sign.len()..]))
        });
        let (field, is, value) =
            found.ok_or("where is a field of the state, one of = != < <= > >=, and a value")?;
        Ok(Self { field: field.to_owned(), is, value: value.to_owned() })
    }

    /// Whether a value is so. One that isn't there is equal to nothing.
    fn holds(&self, value: Option<&Value>) -> bool {
        let order = match value {
            // No number is more or less than a text.
            Some(Value::String(text)) => {
                let order = text.as_str().cmp(self.value.as_str());
                (order.is_eq() || self.value.parse::<f64>().is_err()).then_some(order)
            }
            Some(Value::Number(number)) => {
                let own = self.value.parse().ok();
                own.and_then(|own: f64| number.as_f64()?.partial_cmp(&own))
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
}

impl Sort {
    fn read(name: &str) -> Result<Self, String> {
        match name {
            "room" => Ok(Self::Room),
            "members" => Ok(Self::Members),
            "since" => Ok(Self::Since),
            name => match name.strip_prefix("state.") {
                Some(field) => Ok(Self::Field(field.to_owned())),
                None => Err("sort is room, members, since or state.FIELD; with - the other way \
                             round"
                    .to_owned()),
            },
        }
    }

    fn compare(&self, one: &Entry, two: &Entry) -> Ordering {
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

#[cfg(test)]
mod tests {
    use super::*;
    use heliograph_base::UnixTime;
    use signal_core::RoomId;

    fn entry(room: &str, members: usize, state: &str) -> Entry {
        Entry::new(PublicRoom {
            room: RoomId::parse(room).unwrap(),
            members,
            capacity: 4,
            sealed: false,
            locked: room == "locked",
            since: UnixTime { seconds: members as u64 },
            version: 1,
            state: Some(RawValue::from_string(state.to_owned()).unwrap()),
        })
    }

    fn search(query: &[(&str, &str)]) -> Result<Search, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Search::read(&query.iter().map(owned).collect::<Vec<_>>())
    }

    fn found(query: &[(&str, &str)]) -> Vec<String> {
        let rooms = [
            entry("a", 1, r#"{"mode": "duel", "rank": 1200.5, "ranked": true}"#),
            entry("b", 4, r#"{"mode": "duel", "rank": 900}"#),
            entry("c", 2, r#"{"mode": "race", "rank": "high"}"#),
            entry("d", 3, "[1]"),
            entry("locked", 2, r#"{"mode": "duel", "rank": 1000, "note": null}"#),
        ];
        let search = search(query).unwrap();
        search.find(&rooms).into_iter().map(|entry| entry.room.room.to_string()).collect()
    }

    #[test]
    fn rooms_are_found_by_their_state() {
        assert_eq!(found(&[]), ["a", "b", "c", "d", "locked"]);
        assert_eq!(found(&[("where", "mode=duel")]), ["a", "b", "locked"]);
        assert_eq!(found(&[("where", "mode!=duel")]), ["c", "d"]);
        assert_eq!(found(&[("where", "mode=duel"), ("where", "rank<1000")]), ["b"]);
        assert_eq!(found(&[("where", "rank<=1000")]), ["b", "locked"]);
        assert_eq!(found(&[("where", "rank>=1000")]), ["a", "locked"]);
        assert_eq!(found(&[("where", "rank>1000")]), ["a"]);
        assert_eq!(found(&[("where", "rank=high")]), ["c"]);
        assert_eq!(found(&[("where", "ranked=true")]), ["a"]);
        assert_eq!(found(&[("where", "note=null")]), [""; 0], "nothing is equal to nothing");
        assert_eq!(found(&[("open", "true")]), ["a", "c", "d"]);
    }

    #[test]
    fn they_come_in_the_order_that_is_asked_for() {
        assert_eq!(found(&[("sort", "members")]), ["a", "c", "locked", "d", "b"]);
        assert_eq!(found(&[("sort", "-since"), ("limit", "2")]), ["b", "d"]);
        assert_eq!(found(&[("sort", "state.rank")]), ["b", "locked", "a", "c", "d"]);
        assert_eq!(found(&[("sort", "-room")]), ["locked", "d", "c", "b", "a"]);
    }

    #[test]
    fn what_cannot_be_searched_says_why() {
        for bad in ["", "mode", "=duel", "mode~duel", "!x"] {
            assert!(search(&[("where", bad)]).unwrap_err().contains("where is"), "{bad}");
        }
        assert!(search(&[("sort", "colour")]).unwrap_err().contains("sort is"));
        for bad in ["0", "101", "-1", "x"] {
            assert!(search(&[("limit", bad)]).unwrap_err().contains("limit is"), "{bad}");
        }
        let many = vec![("where", "a=1"); CONDITIONS_MAX + 1];
        assert!(search(&many).unwrap_err().contains("at most"));
        assert!(search(&[("colour", "red")]).is_ok(), "for newer servers");
    }

    /// All texts of up to five of these.
    #[test]
    fn any_condition_is_refused_or_holds_or_does_not() {
        let values = [r#"{"a": 1}"#, r#"{"a": "1"}"#, r#"{"a": true}"#, r#"{"a": [1]}"#, "1"];
        let rooms = values.map(|value| entry("a", 1, value));
        let mut texts = vec![String::new()];
        let mut read = 0;
        for _ in 0..5 {
            let longer =
                |text: &String| ["a", "=", "!", "<", ">", "1", "é"].map(|it| text.clone() + it);
            texts = texts.iter().flat_map(longer).collect();
            for text in &texts {
                let Ok(search) = search(&[("where", text)]) else { continue };
                read += 1;
                let found = search.find(&rooms).len();
                let Condition { field, is, value } = &search.conditions[0];
                assert!(text.starts_with(field) && text.ends_with(value) && !field.is_empty());
                // What isn't there is equal to nothing.
                let all_lack = field != "a" && *is == Comparison::NotEqual;
                assert!(field == "a" || found == if all_lack { rooms.len() } else { 0 }, "{text}");
            }
        }
        assert!(read > 5000, "{read}");
    }

    #[test]
    fn a_room_shows_what_anybody_may_know() {
        let text = entry("locked", 2, "[ 1]").text();
        let expected = concat!(
            r#"{"room":"locked","members":2,"capacity":4,"open":false,"sealed":false,"#,
            r#""locked":true,"since":2,"state":{"version":1,"value":[ 1]}}"#
        );
        assert_eq!(text, expected);
    }
}
