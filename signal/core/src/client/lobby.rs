//! What there is beside a session, without IO: public rooms, rooms that are made before anybody is
//! there, and what was said in one (docs/protocol.md, "Rooms").

use super::{HttpRequest, Method, Refusal, RoomEvent, RoomState};
use crate::protocol::ServerFrame;
use crate::{RoomId, Token};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// A request that stands for itself, and how its answer is read.
pub struct Question<T> {
    /// What to ask.
    pub request: HttpRequest,
    answer: fn(u16, &str) -> Result<T, BadAnswer>,
}

/// Why an answer isn't what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAnswer {
    /// The server refuses.
    Refused(Refusal),
    /// It is none of this protocol: why.
    Unreadable(String),
}

/// Which public rooms are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomSearch {
    /// What must hold of the room's state, such as `mode=duel` or `rank<1300`; 8 conditions at
    /// most.
    pub conditions: Vec<String>,
    /// Only rooms in which one gets without a password.
    pub open: bool,
    /// `room`, `members`, `since` or `state.FIELD`, with `-` in front the other way round.
    pub sort: Option<String>,
    /// How many at most: 50 without it, 100 at most.
    pub limit: Option<usize>,
}

/// A room in the list of rooms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PublicRoom {
    /// Its id.
    #[serde(deserialize_with = "room_id")]
    pub room: RoomId,
    /// How many members it has.
    pub members: usize,
    /// How many it may have.
    pub capacity: usize,
    /// Whether one gets in without a password.
    pub open: bool,
    /// Nobody else may join.
    pub sealed: bool,
    /// Newcomers must know a password.
    pub locked: bool,
    /// Since when it is there, in seconds of Unix time.
    pub since: u64,
    /// Its state, once it was set.
    pub state: Option<RoomState>,
}

/// How a room is made before anybody is there. `MakeRoom::default()` has a name that nobody can
/// guess.
#[derive(Clone, Debug, Default)]
pub struct MakeRoom {
    /// Its id; without it the server gives one that nobody can guess.
    pub room: Option<RoomId>,
    /// What it is like: `capacity`, `password`, `hosted` and so on (docs/protocol.md, "Rooms").
    pub options: Value,
    /// For how long it stays without members: a minute without it, an hour at most.
    pub idle: Option<Duration>,
    /// Shows that one may join it, where the server asks for that.
    pub token: Option<Token>,
}

/// A page of what was said in a room that keeps broadcasts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct History {
    /// What was said, the oldest first: each is a [`RoomEvent::Broadcast`].
    pub events: Vec<RoomEvent>,
    /// Whether some behind the one that was named are gone already.
    pub missed: bool,
    /// The number of the last one of all; 0: none.
    pub last_event: u64,
}

impl<T> Question<T> {
    pub(super) fn new(request: HttpRequest, answer: fn(u16, &str) -> Result<T, BadAnswer>) -> Self {
        Self { request, answer }
    }

    /// Reads the answer: its status and its body.
    ///
    /// # Errors
    /// [`BadAnswer`] if it is another one.
    pub fn read(&self, status: u16, body: &str) -> Result<T, BadAnswer> {
        (self.answer)(status, body)
    }
}

impl<T> fmt::Debug for Question<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.request, f)
    }
}

impl RoomSearch {
    /// Asks for the rooms.
    #[must_use]
    pub fn question(&self) -> Question<Vec<PublicRoom>> {
        #[derive(Deserialize)]
        struct List {
            rooms: Vec<PublicRoom>,
        }
        let mut query: Vec<_> = self.conditions.iter().map(|it| ("where", it.clone())).collect();
        query.extend(self.open.then(|| ("open", "true".to_owned())));
        query.extend(self.sort.clone().map(|sort| ("sort", sort)));
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        let request = HttpRequest::get(path("v1/rooms", &query), None);
        Question::new(request, |status, body| Ok(read::<List>(status, body)?.rooms))
    }
}

impl PublicRoom {
    /// Asks for one public room: none, if there isn't one of this name.
    #[must_use]
    pub fn question(room: &RoomId) -> Question<Option<Self>> {
        let request = HttpRequest::get(format!("v1/rooms/{}", room.as_str()), None);
        Question::new(request, |status, body| match (status, read(status, body)) {
            (404, Err(BadAnswer::Refused(_))) => Ok(None),
            (_, room) => room.map(Some),
        })
    }
}

impl MakeRoom {
    /// Asks for the room to be made: its id.
    #[must_use]
    pub fn question(&self) -> Question<RoomId> {
        #[derive(Serialize)]
        struct Wanted<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            room: Option<&'a str>,
            #[serde(skip_serializing_if = "Value::is_null")]
            options: &'a Value,
            #[serde(skip_serializing_if = "Option::is_none")]
            idle_s: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<&'a str>,
        }
        #[derive(Deserialize)]
        struct Made {
            #[serde(deserialize_with = "room_id")]
            room: RoomId,
        }
        let body = to_json(&Wanted {
            room: self.room.as_ref().map(RoomId::as_str),
            options: &self.options,
            idle_s: self.idle.map(whole_seconds),
            token: self.token.as_ref().map(Token::as_str),
        });
        let request = HttpRequest::post("v1/rooms".to_owned(), None, body);
        Question::new(request, |status, body| Ok(read::<Made>(status, body)?.room))
    }
}

impl History {
    /// Asks for what was said in a room, as the member whose session and key these are.
    pub(super) fn question(
        room: &RoomId,
        (session, key): (&str, &str),
        after: u64,
        limit: Option<usize>,
    ) -> Question<Self> {
        let mut query = vec![("session", session.to_owned()), ("after", after.to_string())];
        query.extend(limit.map(|limit| ("limit", limit.to_string())));
        let path = path(&format!("v1/rooms/{}/events", room.as_str()), &query);
        Question::new(HttpRequest::get(path, Some(key.to_owned())), Self::read)
    }

    fn read(status: u16, body: &str) -> Result<Self, BadAnswer> {
        #[derive(Deserialize)]
        struct Page {
            events: Vec<Box<RawValue>>,
            missed: bool,
            last_event: u64,
        }
        let Page { events, missed, last_event } = read(status, body)?;
        let unreadable = |error: &dyn fmt::Display| BadAnswer::Unreadable(error.to_string());
        let mut said = Vec::with_capacity(events.len());
        for event in events {
            let frame = ServerFrame::parse(event.get()).map_err(|error| unreadable(&error))?;
            said.extend(RoomEvent::read(&frame).map_err(|error| unreadable(&error))?);
        }
        Ok(Self { events: said, missed, last_event })
    }
}

/// Reads an answer of this form.
pub(super) fn read<T: DeserializeOwned>(status: u16, body: &str) -> Result<T, BadAnswer> {
    if let Ok(ServerFrame::Error(error)) = ServerFrame::parse(body) {
        return Err(BadAnswer::Refused(Refusal::read(&error)));
    }
    if !(200..300).contains(&status) {
        return Err(BadAnswer::Unreadable(format!("it answered {status}")));
    }
    serde_json::from_str(body).map_err(|error| BadAnswer::Unreadable(error.to_string()))
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers have a JSON form")
}

/// So many seconds, and one more for a part of one.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

pub(super) fn room_id<'de, D: Deserializer<'de>>(from: D) -> Result<RoomId, D::Error> {
    RoomId::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// A path with a query (RFC 3986 §3.4).
fn path(path: &str, query: &[(&str, String)]) -> String {
    let mut text = path.to_owned();
    for (at, (name, value)) in query.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                    text.push(char::from(byte));
                }
                _ => {
                    // Writing to a String doesn't fail.
                    let _ = write!(text, "%{byte:02X}");
                }
            }
        }
    }
    text
}

impl HttpRequest {
    pub(super) fn get(path: String, key: Option<String>) -> Self {
        Self { method: Method::Get, path, key, body: None }
    }

    pub(super) fn post(path: String, key: Option<String>, body: String) -> Self {
        Self { method: Method::Post, path, key, body: Some(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorCode;
    use serde_json::json;

    const REFUSED: &str = concat!(
        r#"{"type":"error","code":"rate_limited","text":"later","retry":true,"#,
        r#""retry_after_ms":1500}"#
    );

    #[test]
    fn a_search_says_what_is_looked_for_whatever_stands_in_it() {
        assert_eq!(RoomSearch::default().question().request.path, "v1/rooms");
        let search = RoomSearch {
            conditions: vec!["mode=duel & co".to_owned(), "rank<1300".to_owned()],
            open: true,
            sort: Some("-state.grüße".to_owned()),
            limit: Some(7),
        };
        let expected = "v1/rooms?where=mode%3Dduel%20%26%20co&where=rank%3C1300&open=true\
                        &sort=-state.gr%C3%BC%C3%9Fe&limit=7";
        assert_eq!(search.question().request.path, expected);
    }

    #[test]
    fn rooms_are_read_and_what_is_none_is_said_to_be() {
        let room = json!({
            "room": "duel-1", "members": 1, "capacity": 2, "open": true, "sealed": false,
            "locked": false, "since": 9, "state": {"version": 3, "value": {"rank": 7}}, "new": 1,
        });
        let question = RoomSearch::default().question();
        let rooms = question.read(200, &json!({ "rooms": [room] }).to_string()).unwrap();
        assert_eq!((rooms[0].room.as_str(), rooms[0].members), ("duel-1", 1));
        let state = rooms[0].state.clone().unwrap();
        assert_eq!((state.version, state.value), (3, json!({"rank": 7})));

        let one = PublicRoom::question(&rooms[0].room);
        assert_eq!(one.request.path, "v1/rooms/duel-1");
        assert_eq!(one.read(200, &room.to_string()), Ok(Some(rooms[0].clone())));
        let gone = r#"{"type":"error","code":"no_such_room","text":"no","retry":true}"#;
        assert_eq!(one.read(404, gone), Ok(None));
        for (status, body) in [(404, "<html>"), (200, "[]"), (502, "{}")] {
            let answer = one.read(status, body);
            assert!(matches!(answer, Err(BadAnswer::Unreadable(_))), "{answer:?}");
        }
        let Err(BadAnswer::Refused(refusal)) = one.read(429, REFUSED) else { panic!("refused") };
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert_eq!(refusal.retry_after, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_state_that_no_value_can_hold_spoils_no_list() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for value in ["1e999", r#""\ud800""#, &deep] {
            let body = format!(
                r#"{{"rooms":[{{"room":"odd","members":1,"capacity":2,"open":true,"sealed":false,
                "locked":false,"since":9,"state":{{"version":3,"value":{value}}}}}]}}"#
            );
            let rooms = RoomSearch::default().question().read(200, &body).unwrap();
            let state = rooms[0].state.clone().unwrap();
            assert_eq!((state.version, state.value), (3, Value::Null), "{value}");
        }
    }

    #[test]
    fn a_room_is_made_of_what_is_said_and_nothing_else() {
        let body = |make: &MakeRoom| make.question().request.body.unwrap();
        assert_eq!(body(&MakeRoom::default()), "{}");
        let make = MakeRoom {
            room: Some(RoomId::parse("duel-1").unwrap()),
            options: json!({"public": true}),
            idle: Some(Duration::from_millis(1500)),
            token: Some(Token::new("t")),
        };
        let expected = r#"{"room":"duel-1","options":{"public":true},"idle_s":2,"token":"t"}"#;
        assert_eq!(body(&make), expected);
        let made = make.question().read(201, r#"{"room":"duel-1","idle_s":2}"#).unwrap();
        assert_eq!(made.as_str(), "duel-1");
    }

    #[test]
    fn a_page_of_history_is_asked_for_by_a_member_and_read() {
        let room = RoomId::parse("demo").unwrap();
        let question = History::question(&room, ("demo:me", "k"), 3, Some(2));
        let path = "v1/rooms/demo/events?session=demo:me&after=3&limit=2";
        assert_eq!((&*question.request.path, question.request.key.as_deref()), (path, Some("k")));
        let page = r#"{"events":[{"type":"broadcast","event":4,"from":"bob","data":[1]},
                        {"type":"later"}],"missed":true,"last_event":9}"#;
        let page = question.read(200, page).unwrap();
        assert_eq!((page.events.len(), page.missed, page.last_event), (1, true, 9));
        let RoomEvent::Broadcast { event, from, data } = &page.events[0] else { panic!("one") };
        assert_eq!((*event, from.as_str(), data.get()), (Some(4), "bob", "[1]"));
    }
}
