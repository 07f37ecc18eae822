//! A ticket for matchmaking as its owner writes it, and what it is told, without IO
//! (docs/protocol.md, "Matchmaking").

use super::lobby::{read, room_id, to_json, whole_seconds};
use super::{BadAnswer, HttpRequest, Method, Question, Refusal};
use crate::RoomId;
use crate::protocol::{ClientFrame, ClientMessage, ServerFrame};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What one is, and whom one wants to meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// Only tickets of the same queue meet: name the game, its version and mode. As a room's id.
    pub queue: String,
    /// How many players the match shall have: between 2 and 64.
    pub size: RangeInclusive<u32>,
    /// For how many players the ticket stands. They get seats in the same match.
    pub party: u32,
    /// Where they are already, if others shall come to them; `party` counts all who are there.
    pub room: Option<RoomId>,
    /// What others may ask for.
    pub properties: BTreeMap<String, Property>,
    /// What the others must be like.
    pub query: Vec<Condition>,
    /// How long it waits for more players than the fewest, in whole seconds: 3 without it.
    pub fill: Option<Duration>,
    /// How long it waits at all, in whole seconds: a minute without it.
    pub timeout: Option<Duration>,
}

/// What one is, under one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Property {
    /// At most 64 bytes.
    Text(String),
    /// A finite number.
    Number(f64),
}

/// What all others in the match must be like.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// The property of the others that it is about. Who hasn't got it isn't met.
    pub property: String,
    /// What it must be.
    #[serde(flatten)]
    pub wish: Wish,
    /// What is asked for once the ticket has waited; without it: the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relax: Option<Relax>,
}

/// What a property of the others must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// This.
    Equals(Property),
    /// One of these, 16 at most.
    OneOf(Vec<Property>),
    /// So far at most from one's own of the same name.
    Within(f64),
}

/// How a condition asks for less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Relax {
    /// After so long, in whole seconds.
    #[serde(rename = "after_s", serialize_with = "seconds")]
    pub after: Duration,
    /// Of [`Wish::Within`]: wider by so much each second from then on; without it at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<f64>,
    /// Of [`Wish::Within`]: up to here. With neither, the condition is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
}

/// A match.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Match {
    /// Where all of it meet; nobody else can guess the name.
    #[serde(deserialize_with = "room_id")]
    pub room: RoomId,
    /// How many players go there.
    pub players: u32,
    /// Which of the seats, counted from 0, are for this ticket's players.
    pub seats: Vec<u32>,
}

/// A ticket that was posted. Its key is a secret.
#[derive(Clone, Deserialize)]
pub struct PostedTicket {
    ticket: String,
    key: String,
}

/// What has become of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TicketStatus {
    /// Nothing yet.
    Waiting,
    /// It has found others.
    Matched(Match),
    /// It has found nobody in time.
    Expired,
    /// It was taken back.
    Cancelled,
}

impl Ticket {
    /// A ticket for a match of so many players with whoever else is in the queue.
    #[must_use]
    pub fn new(queue: impl Into<String>, size: RangeInclusive<u32>) -> Self {
        Self {
            queue: queue.into(),
            size,
            party: 1,
            room: None,
            properties: BTreeMap::new(),
            query: Vec::new(),
            fill: None,
            timeout: None,
        }
    }

    /// Asks for it to be taken.
    #[must_use]
    pub fn question(&self) -> Question<PostedTicket> {
        let request = HttpRequest::post("v1/tickets".to_owned(), None, self.json());
        Question::new(request, read)
    }

    /// The frame that posts it over a WebSocket.
    #[must_use]
    pub fn frame(&self) -> String {
        let ticket = RawValue::from_string(self.json()).expect("it was just written as JSON");
        ClientMessage { id: None, ack: None, frame: ClientFrame::Match { ticket: &ticket } }
            .encode()
    }

    fn json(&self) -> String {
        #[derive(Serialize)]
        struct Size {
            min: u32,
            max: u32,
        }
        #[derive(Serialize)]
        struct Form<'a> {
            queue: &'a str,
            size: Size,
            party: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            room: Option<&'a str>,
            properties: &'a BTreeMap<String, Property>,
            query: &'a [Condition],
            #[serde(skip_serializing_if = "Option::is_none")]
            fill_s: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            timeout_s: Option<u64>,
        }
        to_json(&Form {
            queue: &self.queue,
            size: Size { min: *self.size.start(), max: *self.size.end() },
            party: self.party,
            room: self.room.as_ref().map(RoomId::as_str),
            properties: &self.properties,
            query: &self.query,
            fill_s: self.fill.map(whole_seconds),
            timeout_s: self.timeout.map(whole_seconds),
        })
    }
}

impl PostedTicket {
    /// Asks what has become of it: answered as soon as something has, or after 25 s.
    #[must_use]
    pub fn look(&self) -> Question<TicketStatus> {
        Question::new(HttpRequest::get(self.path(), Some(self.key.clone())), read)
    }

    /// Takes it back. If it is too late, it was [matched](TicketStatus::Matched).
    #[must_use]
    pub fn cancel(&self) -> Question<TicketStatus> {
        let (path, key) = (self.path(), Some(self.key.clone()));
        Question::new(HttpRequest { method: Method::Delete, path, key, body: None }, read)
    }

    fn path(&self) -> String {
        format!("v1/tickets/{}", self.ticket)
    }
}

/// Leaves out the key.
impl fmt::Debug for PostedTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostedTicket").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl TicketStatus {
    /// Reads what comes over a WebSocket; none if it says nothing of the ticket.
    ///
    /// # Errors
    /// [`BadAnswer`] if the ticket is refused, or the frame none of this protocol.
    pub fn read_frame(text: &str) -> Result<Option<Self>, BadAnswer> {
        let unreadable = |error: &dyn fmt::Display| BadAnswer::Unreadable(error.to_string());
        let frame = ServerFrame::parse(text).map_err(|error| unreadable(&error))?;
        if let ServerFrame::Error(error) = &frame {
            return Err(BadAnswer::Refused(Refusal::read(error)));
        }
        if let ServerFrame::Matched { room, players, seats, .. } = frame {
            let room = RoomId::parse(&room).map_err(|error| unreadable(&error))?;
            return Ok(Some(Self::Matched(Match { room, players, seats: seats.into_owned() })));
        }
        let is_over = matches!(frame, ServerFrame::Expired { .. });
        let waits = matches!(frame, ServerFrame::Waiting { .. });
        Ok(is_over.then_some(Self::Expired).or(waits.then_some(Self::Waiting)))
    }
}

impl From<&str> for Property {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Property {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Property {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Property {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(whole_seconds(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matchmaking::{self, PlayerCount};
    use crate::{MatchLimits, protocol::ErrorCode};

    /// The ticket of docs/protocol.md.
    fn ticket() -> Ticket {
        let relax = |after, by, to| Some(Relax { after: Duration::from_secs(after), by, to });
        Ticket {
            properties: [("region", "eu".into()), ("rank", 1200_u32.into())]
                .map(|(name, value): (&str, Property)| (name.to_owned(), value))
                .into(),
            query: vec![
                Condition {
                    property: "region".to_owned(),
                    wish: Wish::Equals("eu".into()),
                    relax: relax(20, None, None),
                },
                Condition {
                    property: "rank".to_owned(),
                    wish: Wish::Within(100.0),
                    relax: relax(5, Some(20.0), Some(400.0)),
                },
            ],
            timeout: Some(Duration::from_millis(29_001)),
            ..Ticket::new("arena-7", 2..=4)
        }
    }

    #[test]
    fn the_server_reads_a_ticket_as_it_was_meant() {
        let text = ticket().question().request.body.unwrap();
        let limits = MatchLimits::default();
        let read = matchmaking::Ticket::parse(&text, &limits).unwrap();
        assert_eq!(read.size, PlayerCount { least: 2, most: 4 });
        assert_eq!((&*read.queue, read.party, read.properties.len()), ("arena-7", 1, 2));
        assert_eq!((read.fill, read.timeout), (limits.fill, Duration::from_secs(30)));
        let waited = |seconds| Duration::from_secs(seconds);
        let mut far = read.clone();
        let rank = matchmaking::Number::new(1310.0).map(matchmaking::Value::Number).unwrap();
        far.properties.insert("rank".into(), rank);
        assert_eq!(read.room, None);
        let room = RoomId::parse("duel-1").ok();
        let there = Ticket { room: room.clone(), ..ticket() }.question().request.body.unwrap();
        assert_eq!(matchmaking::Ticket::parse(&there, &limits).unwrap().room, room);
        assert!(read.accepts(waited(0), &read) && !read.accepts(waited(5), &far));
        assert!(read.accepts(waited(6), &far), "20 more");
        far.properties.remove("region");
        assert!(!read.accepts(waited(19), &far) && read.accepts(waited(20), &far));
        assert!(ticket().frame().contains(&format!(r#""type":"match","ticket":{text}"#)));
    }

    #[test]
    fn what_becomes_of_a_ticket_is_the_same_by_requests_and_frames() {
        let posted = ticket()
            .question()
            .read(202, r#"{"ticket":"xrq2","key":"secret","status":"waiting","expires_in_s":60}"#);
        let posted = posted.unwrap();
        assert!(!format!("{posted:?}").contains("secret"));
        let (look, cancel) = (posted.look(), posted.cancel());
        assert_eq!((look.request.method, &*look.request.path), (Method::Get, "v1/tickets/xrq2"));
        assert_eq!(cancel.request.method, Method::Delete);
        assert_eq!(cancel.request.key.as_deref(), Some("secret"));
        let asked = |status: &str| {
            let body = format!(
                r#"{{"ticket":"xrq2","status":"{status}","room":"wf4k","players":2,"seats":[1]}}"#
            );
            look.read(200, &body).unwrap()
        };
        let told = |kind: &str| {
            let frame = format!(
                r#"{{"type":"{kind}","room":"wf4k","players":2,"seats":[1],"expires_in_s":9}}"#
            );
            TicketStatus::read_frame(&frame).unwrap()
        };
        for status in ["waiting", "matched", "expired"] {
            assert_eq!(Some(asked(status)), told(status));
        }
        let room = RoomId::parse("wf4k").unwrap();
        let found = Match { room, players: 2, seats: vec![1] };
        assert_eq!(asked("matched"), TicketStatus::Matched(found));
        assert_eq!(asked("cancelled"), TicketStatus::Cancelled);
        assert_eq!(told("pong"), None);
    }

    #[test]
    fn a_refused_ticket_is_no_match() {
        let error = r#"{"type":"error","code":"bad_ticket","text":"size","retry":false}"#;
        for answer in [
            TicketStatus::read_frame(error).map(drop),
            ticket().question().read(400, error).map(drop),
        ] {
            let Err(BadAnswer::Refused(refusal)) = answer else { panic!("{answer:?}") };
            assert_eq!((refusal.code, &*refusal.text), (ErrorCode::BadTicket, "size"));
        }
        for wrong in ["{", "[]", r#"{"type":"matched","room":"a b","players":2,"seats":[]}"#] {
            assert!(matches!(TicketStatus::read_frame(wrong), Err(BadAnswer::Unreadable(_))));
        }
    }
}
