//! Frames from a client to the server.

use super::{ErrorCode, Unreadable};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What a client asks for, and the number by which it knows the answer.
#[derive(Clone, Debug)]
pub struct ClientMessage<'a> {
    /// Chosen by the client; an error that answers this request carries it. The ids of signals
    /// count up from 1, without a gap.
    pub id: Option<u64>,
    /// All frames up to this number have come.
    pub ack: Option<u64>,
    /// The request.
    pub frame: ClientFrame<'a>,
}

/// A request.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame<'a> {
    /// Asks for a seat in a room; the first frame of a connection.
    Hello {
        /// The room's id, not yet checked.
        room: Cow<'a, str>,
        /// What the others are told about this peer: a JSON object, passed on byte for byte.
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<&'a RawValue>,
        /// Random, and the same when the client tries again since no answer came: a seat that it
        /// was given in vain is then taken back.
        #[serde(skip_serializing_if = "Option::is_none")]
        once: Option<Cow<'a, str>>,
        /// Shows that the client may have it; empty: nothing does.
        #[serde(skip_serializing_if = "str::is_empty")]
        token: Cow<'a, str>,
        /// What rooms with rules ask for.
        #[serde(flatten)]
        entry: Entry<'a>,
    },
    /// Takes a session up again on this connection; the first frame of it.
    Resume {
        /// The session, as the welcome called it.
        session: Cow<'a, str>,
        /// Its key, from the welcome.
        key: Cow<'a, str>,
        /// The number of the last frame that came.
        seq: u64,
        /// Counts the client's attempts, so that one that it gave up can't take over a later one.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u64>,
    },
    /// Passes `data` to one other member of the room.
    Signal {
        /// The addressee's peer id.
        to: Cow<'a, str>,
        /// Any JSON value, passed on byte for byte.
        data: &'a RawValue,
    },
    /// Shows a newer token, before the one of the session expires.
    Token {
        /// The token.
        token: Cow<'a, str>,
    },
    /// Looks for others to meet, before a `hello`.
    Match {
        /// A ticket, not yet read.
        ticket: &'a RawValue,
    },
    /// Says how the client's link to another member is. Not answered.
    Report {
        /// The other's peer id.
        peer: Cow<'a, str>,
        /// A [`Link`](super::Link), not yet read.
        link: &'a RawValue,
    },
    /// Asks how a link is, or why it isn't.
    Diagnose {
        /// The other's peer id.
        peer: Cow<'a, str>,
    },
    /// Says nothing but its `ack`.
    Ack,
    /// Gives the seat back.
    Leave,
    /// Asks for a `pong`.
    Ping,
    /// Asks for something that the room decides.
    #[serde(untagged)]
    Room(RoomFrame<'a>),
}

/// What a member asks of its room.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RoomFrame<'a> {
    /// Says something to all members, to some, or to those with a role.
    Broadcast {
        /// Any JSON value, passed on byte for byte.
        data: &'a RawValue,
        /// To these peer ids only.
        #[serde(skip_serializing_if = "Option::is_none")]
        peers: Option<Vec<Cow<'a, str>>>,
        /// To those with this role only.
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<Cow<'a, str>>,
    },
    /// Sets the room's state.
    State {
        /// Any JSON value, kept byte for byte.
        value: &'a RawValue,
        /// Only if this is the version that it has; 0: only if it was never set.
        #[serde(skip_serializing_if = "Option::is_none")]
        if_version: Option<u64>,
    },
    /// Tells the others something else about this peer.
    Metadata {
        /// A JSON object, passed on byte for byte.
        metadata: &'a RawValue,
    },
    /// Changes the room's rules.
    Rules {
        /// A [`RulesPatch`](super::RulesPatch), not yet read.
        rules: &'a RawValue,
        /// The term of the host.
        term: u64,
    },
    /// Makes another member the host.
    Host {
        /// Its peer id.
        to: Cow<'a, str>,
        /// The term of the host.
        term: u64,
    },
    /// Removes a member.
    Kick {
        /// Its peer id.
        peer: Cow<'a, str>,
        /// Whether it may not come back.
        ban: bool,
        /// The term of the host.
        term: u64,
    },
}

/// What rooms with rules ask of who comes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry<'a> {
    /// [`RoomOptions`](super::RoomOptions), not yet read, for who makes the room by coming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<&'a RawValue>,
    /// The room's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Cow<'a, str>>,
    /// The number of the last event that the client knows: it is told what was said since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl<'a> ClientMessage<'a> {
    /// Reads one text frame. Fields that the type doesn't have are ignored.
    ///
    /// # Errors
    /// [`Unreadable`] with [`ErrorCode::BadFrame`], [`ErrorCode::MissingField`] or
    /// [`ErrorCode::UnknownType`].
    pub fn parse(text: &'a str) -> Result<Self, Unreadable> {
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| Unreadable {
            code: ErrorCode::BadFrame,
            text: format!("not a frame of this protocol: {error}"),
            id: None,
        })?;
        let (id, ack) = (envelope.id, envelope.ack);
        let frame = envelope.frame().map_err(|(code, text)| Unreadable { code, text, id })?;
        Ok(Self { id, ack, frame })
    }

    /// Writes one text frame.
    #[must_use]
    pub fn encode(&self) -> String {
        #[derive(Serialize)]
        struct Out<'a> {
            #[serde(flatten)]
            frame: &'a ClientFrame<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ack: Option<u64>,
        }
        // Flattening buffers nothing when it writes, so the raw values stay as they are.
        serde_json::to_string(&Out { frame: &self.frame, id: self.id, ack: self.ack })
            .expect("strings and raw values have a JSON form")
    }
}

/// All fields of all types, so that one pass over the text is enough and the payload is only
/// skipped.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    id: Option<u64>,
    ack: Option<u64>,
    seq: Option<u64>,
    attempt: Option<u64>,
    #[serde(borrow, default)]
    session: Cow<'a, str>,
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    room: Cow<'a, str>,
    #[serde(borrow, default)]
    to: Cow<'a, str>,
    #[serde(borrow, default)]
    token: Cow<'a, str>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    once: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ticket: Option<&'a RawValue>,
    #[serde(borrow)]
    link: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    create: Option<&'a RawValue>,
    #[serde(borrow)]
    rules: Option<&'a RawValue>,
    #[serde(borrow)]
    password: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    peer: Cow<'a, str>,
    #[serde(borrow)]
    peers: Option<Vec<Cow<'a, str>>>,
    after: Option<u64>,
    if_version: Option<u64>,
    term: Option<u64>,
    #[serde(default)]
    ban: bool,
}

/// Takes any value that is there; by itself an option takes `null` for nothing.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

impl<'a> Envelope<'a> {
    fn frame(self) -> Result<ClientFrame<'a>, (ErrorCode, String)> {
        match &*self.kind {
            "" => Err(missing("a frame", "type")),
            "hello" if self.room.is_empty() => Err(missing("hello", "room")),
            "hello" => {
                let Self { room, metadata, once, token, create, password, after, .. } = self;
                let entry = Entry { create, password, after };
                Ok(ClientFrame::Hello { room, metadata, once, token, entry })
            }
            "resume" if self.session.is_empty() => Err(missing("resume", "session")),
            "resume" if self.key.is_empty() => Err(missing("resume", "key")),
            "resume" => match self.seq {
                Some(seq) => Ok(ClientFrame::Resume {
                    session: self.session,
                    key: self.key,
                    seq,
                    attempt: self.attempt,
                }),
                None => Err(missing("resume", "seq")),
            },
            "token" if self.token.is_empty() => Err(missing("token", "token")),
            "token" => Ok(ClientFrame::Token { token: self.token }),
            "ack" if self.ack.is_none() => Err(missing("ack", "ack")),
            "ack" => Ok(ClientFrame::Ack),
            "signal" if self.to.is_empty() => Err(missing("signal", "to")),
            "signal" => match self.data {
                Some(data) => Ok(ClientFrame::Signal { to: self.to, data }),
                None => Err(missing("signal", "data")),
            },
            "match" => match self.ticket {
                Some(ticket) => Ok(ClientFrame::Match { ticket }),
                None => Err(missing("match", "ticket")),
            },
            "report" | "diagnose" if self.peer.is_empty() => Err(missing(&self.kind, "peer")),
            "report" => match self.link {
                Some(link) => Ok(ClientFrame::Report { peer: self.peer, link }),
                None => Err(missing("report", "link")),
            },
            "diagnose" => Ok(ClientFrame::Diagnose { peer: self.peer }),
            "leave" => Ok(ClientFrame::Leave),
            "ping" => Ok(ClientFrame::Ping),
            _ => self.room_frame().map(ClientFrame::Room),
        }
    }

    fn room_frame(self) -> Result<RoomFrame<'a>, (ErrorCode, String)> {
        let kind = &*self.kind;
        let need = |what: Option<&'a RawValue>, field| what.ok_or_else(|| missing(kind, field));
        let term = || self.term.ok_or_else(|| missing(kind, "term"));
        Ok(match kind {
            "broadcast" => RoomFrame::Broadcast {
                data: need(self.data, "data")?,
                peers: self.peers,
                role: self.role,
            },
            "state" => {
                let value = need(self.value, "value")?;
                RoomFrame::State { value, if_version: self.if_version }
            }
            "metadata" => RoomFrame::Metadata { metadata: need(self.metadata, "metadata")? },
            "rules" => RoomFrame::Rules { rules: need(self.rules, "rules")?, term: term()? },
            "host" if self.to.is_empty() => return Err(missing("host", "to")),
            "host" => RoomFrame::Host { term: term()?, to: self.to },
            "kick" if self.peer.is_empty() => return Err(missing("kick", "peer")),
            "kick" => RoomFrame::Kick { term: term()?, peer: self.peer, ban: self.ban },
            _ => return Err((ErrorCode::UnknownType, TYPES.to_owned())),
        })
    }
}

const TYPES: &str = "this server knows the types hello, resume, match, signal, broadcast, state, \
     metadata, rules, host, kick, token, report, diagnose, ack, leave and ping";

fn missing(frame: &str, field: &str) -> (ErrorCode, String) {
    (ErrorCode::MissingField, format!("{frame} needs the field \"{field}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> ErrorCode {
        ClientMessage::parse(text).expect_err(text).code
    }

    #[test]
    fn the_payload_is_taken_byte_for_byte() {
        let text = concat!(
            r#"{"data": {"sdp":"a\u0020b", "n":1.0e2 } ,"#,
            r#""to":"bob","type":"signal","id":7,"new":[1]}"#
        );
        let message = ClientMessage::parse(text).unwrap();
        assert_eq!(message.id, Some(7));
        let ClientFrame::Signal { to, data } = message.frame else { panic!("a signal") };
        assert_eq!((&*to, data.get()), ("bob", r#"{"sdp":"a\u0020b", "n":1.0e2 }"#));
    }

    #[test]
    fn the_payload_may_be_null() {
        let text = r#"{"type":"signal","to":"bob","data":null}"#;
        assert_eq!(ClientMessage::parse(text).unwrap().encode(), text);
    }

    #[test]
    fn each_mistake_has_its_code() {
        for bad in [
            "",
            "hello",
            "[]",
            "7",
            "{",
            r#"{"type":7}"#,
            r#"{"type":"ping"} x"#,
            "{\"type\":\"hello\",\"room\":1}",
        ] {
            assert_eq!(code(bad), ErrorCode::BadFrame, "{bad}");
        }
        for lacking in [
            "{}",
            r#"{"type":"hello"}"#,
            r#"{"type":"signal","data":1}"#,
            r#"{"type":"signal","to":"bob"}"#,
            r#"{"type":"resume","key":"x","seq":1}"#,
            r#"{"type":"resume","session":"demo:me","seq":1}"#,
            r#"{"type":"resume","session":"demo:me","key":"x"}"#,
            r#"{"type":"ack"}"#,
            r#"{"type":"broadcast"}"#,
            r#"{"type":"state","if_version":1}"#,
            r#"{"type":"metadata"}"#,
            r#"{"type":"rules","rules":{}}"#,
            r#"{"type":"host","term":1}"#,
            r#"{"type":"kick","peer":"ada"}"#,
            r#"{"type":"token","token":""}"#,
            r#"{"type":"match","queue":"chess","size":2}"#,
            r#"{"type":"report","link":{}}"#,
            r#"{"type":"report","peer":"bob"}"#,
            r#"{"type":"diagnose"}"#,
        ] {
            assert_eq!(code(lacking), ErrorCode::MissingField, "{lacking}");
        }
        assert_eq!(code(r#"{"type":"dance"}"#), ErrorCode::UnknownType);
    }

    #[test]
    fn an_unreadable_request_keeps_its_id_where_it_can() {
        assert_eq!(ClientMessage::parse(r#"{"type":"dance","id":9}"#).unwrap_err().id, Some(9));
    }

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let data = RawValue::from_string(r#"{"candidate": "x"}"#.to_owned()).unwrap();
        let frame = ClientFrame::Signal { to: "bob".into(), data: &data };
        let text = ClientMessage { id: Some(3), ack: None, frame }.encode();
        assert_eq!(text, r#"{"type":"signal","to":"bob","data":{"candidate": "x"},"id":3}"#);
        assert_eq!(ClientMessage::parse(&text).unwrap().encode(), text);
        let bare = ClientMessage { id: None, ack: None, frame: ClientFrame::Leave }.encode();
        assert_eq!(bare, r#"{"type":"leave"}"#);
        let ack = ClientMessage { id: None, ack: Some(7), frame: ClientFrame::Ack }.encode();
        assert_eq!(ack, r#"{"type":"ack","ack":7}"#);
        for text in [
            r#"{"type":"match","ticket":{"queue": "chess"},"id":2}"#,
            r#"{"type":"report","peer":"bob","link":{"state": "failed"}}"#,
            r#"{"type":"diagnose","peer":"bob","id":7}"#,
        ] {
            assert_eq!(ClientMessage::parse(text).unwrap().encode(), text);
        }
        let (session, key) = ("demo:me".into(), "k".into());
        let resume = ClientFrame::Resume { session, key, seq: 4, attempt: Some(2) };
        let text = ClientMessage { id: None, ack: None, frame: resume }.encode();
        assert_eq!(text, r#"{"type":"resume","session":"demo:me","key":"k","seq":4,"attempt":2}"#);
        assert_eq!(ClientMessage::parse(&text).unwrap().encode(), text);
        for text in [
            r#"{"type":"hello","room":"demo","token":"a.b.c"}"#,
            r#"{"type":"token","token":"a.b.c","id":7}"#,
            r#"{"type":"hello","room":"demo","create":{"public":true},"password":"x","after":3}"#,
            r#"{"type":"broadcast","data":[ 1 ],"peers":["ada"],"role":"host","id":8}"#,
            r#"{"type":"state","value":null,"if_version":0}"#,
            r#"{"type":"metadata","metadata":{}}"#,
            r#"{"type":"rules","rules":{"password":null},"term":3}"#,
            r#"{"type":"host","to":"ada","term":3}"#,
            r#"{"type":"kick","peer":"ada","ban":true,"term":3}"#,
        ] {
            assert_eq!(ClientMessage::parse(text).unwrap().encode(), text);
        }
    }
}
