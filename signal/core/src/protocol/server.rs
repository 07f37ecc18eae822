//! Frames from the server to a client.

use super::{About, Diagnosis, ErrorCode, LeaveReason, RoomState, Rules};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the server tells a client.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The answer to `hello`: the seat.
    Welcome(Welcome<'a>),
    /// An answer to `resume`: everything that hadn't come follows.
    Resumed {
        /// The last numbered request that was carried out.
        ack: u64,
    },
    /// The other answer to `resume`: something is missing for good, so this is all there is to
    /// know now. Its number is where the numbers go on.
    Resync(Welcome<'a>),
    /// Another peer joined the room.
    Joined(Member<'a>),
    /// Another peer's connection is lost; it may come back.
    Away {
        /// Who it is.
        peer: Cow<'a, str>,
    },
    /// It is there again.
    Back {
        /// Who it is.
        peer: Cow<'a, str>,
    },
    /// Another peer is no longer in the room.
    Left {
        /// Who it was.
        peer: Cow<'a, str>,
        /// Why.
        reason: LeaveReason,
    },
    /// Another peer tells something else about itself from now on.
    Metadata {
        /// Who it is.
        peer: Cow<'a, str>,
        /// The JSON object, byte for byte.
        metadata: &'a RawValue,
    },
    /// The room has another host.
    Host {
        /// Who it is; nobody, if nobody is there.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<Cow<'a, str>>,
        /// How often a host was made: requests that only a host may make carry it.
        term: u64,
    },
    /// Several of the last six at once, in their order.
    Presence {
        /// Frames without numbers.
        changes: Vec<Self>,
    },
    /// What another member sent to this one.
    Signal {
        /// The sender's peer id.
        from: Cow<'a, str>,
        /// Byte for byte as it was sent.
        data: &'a RawValue,
    },
    /// What another member said to all, to some, or to those with a role.
    Broadcast {
        /// The number of the event, if it is kept for newcomers.
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<u64>,
        /// The sender's peer id.
        from: Cow<'a, str>,
        /// Byte for byte as it was sent.
        data: &'a RawValue,
    },
    /// The room has another state.
    State {
        /// Who set it.
        by: Cow<'a, str>,
        /// How often it was set.
        version: u64,
        /// Byte for byte as it was sent.
        value: &'a RawValue,
    },
    /// The room has other rules.
    Rules(Rules),
    /// New credentials, before the old ones expire.
    Ice(IceUpdate),
    /// The answer to a newer token: it is taken.
    Token {
        /// The `id` of the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// In how many seconds it expires; without it: never.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in_s: Option<u64>,
    },
    /// A request was refused.
    Error(ErrorFrame<'a>),
    /// Says nothing but its `ack`.
    Ack {
        /// All numbered requests up to this one were carried out.
        ack: u64,
    },
    /// The server will end: the client should take its session elsewhere, or be back later.
    Goaway {
        /// In how many seconds it closes the connection.
        deadline_s: u64,
        /// Where else to go.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<Cow<'a, str>>,
    },
    /// The end of the connection, where the transport has no words of its own for it.
    Close {
        /// As over WebSocket.
        code: u16,
        /// For developers.
        text: Cow<'a, str>,
    },
    /// The answer to `match`: the ticket is taken.
    Waiting {
        /// In how many seconds it expires.
        expires_in_s: u64,
        /// The `id` of the match.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// It has found others: now say `hello` to the room.
    Matched {
        /// Where all of them meet.
        room: Cow<'a, str>,
        /// How many players they are.
        players: u32,
        /// Which of the seats, counted from 0, are for the ticket's players.
        seats: Cow<'a, [u32]>,
        /// The `id` of the match.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// It has found nobody in time.
    Expired {
        /// The `id` of the match.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// The answer to `ping`.
    Pong {
        /// The `id` of the ping.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// The answer to `diagnose`.
    Diagnosis(Box<Diagnosis>),
    /// A type that this version doesn't know; to be ignored.
    #[serde(skip)]
    Unknown,
}

/// A seat in a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// The room's id.
    #[serde(borrow)]
    pub room: Cow<'a, str>,
    /// The client's own peer id.
    #[serde(borrow)]
    pub peer: Cow<'a, str>,
    /// What to call this session in a `resume`.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// Shows that it is ours: a secret.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// For how many seconds a session without a connection can be resumed.
    pub grace_s: u64,
    /// The last numbered request that was carried out: 0 in a `welcome`.
    #[serde(default)]
    pub ack: u64,
    /// What the client's token says that it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'a, str>>,
    /// Everybody else in the room, in the order of their joining.
    #[serde(borrow)]
    pub members: Vec<Member<'a>>,
    /// What else there is to know of the room, if it isn't one without rules, host and state.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub about: Option<About<'a>>,
    /// For `RTCPeerConnection`'s `iceServers`, as it stands.
    pub ice_servers: Vec<IceServer>,
    /// For how many seconds from now the ICE servers' credentials are good.
    pub ice_ttl_s: u64,
    /// In how many seconds the token expires, if there is one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ttl_s: Option<u64>,
    /// How the server finds out that a client is gone.
    pub heartbeat: Heartbeat,
    /// What the client must keep to.
    pub limits: Limits,
}

/// Another peer in the room, as this client should treat it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Member<'a> {
    /// Its peer id.
    #[serde(borrow)]
    pub peer: Cow<'a, str>,
    /// The JSON object it brought along, byte for byte; `{}` if none.
    #[serde(borrow)]
    pub metadata: &'a RawValue,
    /// Perfect negotiation: whether this client gives way when offers collide. Of each pair,
    /// exactly one does.
    pub polite: bool,
    /// Whether this client makes the first offer. Of each pair, exactly one does.
    pub offers: bool,
    /// Whether its connection is lost at the moment.
    #[serde(default, skip_serializing_if = "is_false")]
    pub away: bool,
    /// What its token says that it is.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Cow<'a, str>>,
}

/// New ICE servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceUpdate {
    /// For `RTCPeerConnection`'s `iceServers`, as it stands.
    pub ice_servers: Vec<IceServer>,
    /// For how many seconds from now the credentials are good.
    pub ice_ttl_s: u64,
}

/// An entry of `RTCPeerConnection`'s `iceServers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:` and `turn:` URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// TURN username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// How the server finds out that a client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// After so many seconds of silence the server sends a WebSocket ping.
    pub interval_s: u64,
    /// After so many seconds of silence the client is gone.
    pub timeout_s: u64,
}

/// What a client must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest frame a client may send, in bytes of UTF-8.
    pub frame_bytes_max: usize,
    /// The largest `metadata`, in bytes of JSON text.
    pub metadata_bytes_max: usize,
    /// The most members a room can have.
    pub members_max: usize,
    /// The most frames that may wait for an `ack`; with one more the session ends.
    pub unacked_frames_max: usize,
    /// The most bytes of such frames.
    pub unacked_bytes_max: usize,
}

/// A frame with its number, if it has one.
#[derive(Clone, Debug)]
pub struct ServerMessage<'a> {
    /// The frame's number; those that are numbered are kept until they are acknowledged.
    pub seq: Option<u64>,
    /// All numbered requests up to this one were carried out.
    pub ack: Option<u64>,
    /// The frame.
    pub frame: ServerFrame<'a>,
}

impl<'a> ServerMessage<'a> {
    /// Reads one text frame, as [`ServerFrame::parse`] does.
    ///
    /// # Errors
    /// What serde_json says if it is no frame of this protocol.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Numbers {
            seq: Option<u64>,
            ack: Option<u64>,
        }
        let Numbers { seq, ack } = serde_json::from_str(text)?;
        Ok(Self { seq, ack, frame: ServerFrame::parse(text)? })
    }
}

/// A refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorFrame<'a> {
    /// For programs.
    pub code: ErrorCode,
    /// For developers: a sentence that says what to do.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retry: bool,
    /// After how many milliseconds it is the client's turn again, if the server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The room's state, if that is why.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub state: Option<RoomState<'a>>,
    /// The `id` of the refused request, if it had one that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

impl<'a> ServerFrame<'a> {
    /// Reads one text frame. Fields and types that this version doesn't know are ignored.
    ///
    /// # Errors
    /// What serde_json says if it is no frame of this protocol.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let kind: KindField<'a> = serde_json::from_str(text)?;
        Ok(match &*kind.kind {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "resumed" => Self::Resumed { ack: serde_json::from_str::<AckField>(text)?.ack },
            "resync" => Self::Resync(serde_json::from_str(text)?),
            "away" => Self::Away { peer: serde_json::from_str::<PeerField<'a>>(text)?.peer },
            "back" => Self::Back { peer: serde_json::from_str::<PeerField<'a>>(text)?.peer },
            "ice" => Self::Ice(serde_json::from_str(text)?),
            "token" => {
                let TokenFields { id, expires_in_s } = serde_json::from_str(text)?;
                Self::Token { id, expires_in_s }
            }
            "ack" => Self::Ack { ack: serde_json::from_str::<AckField>(text)?.ack },
            "joined" => Self::Joined(serde_json::from_str(text)?),
            "left" => {
                let LeftFields { peer, reason } = serde_json::from_str(text)?;
                Self::Left { peer, reason }
            }
            "metadata" => {
                let MetadataFields { peer, metadata } = serde_json::from_str(text)?;
                Self::Metadata { peer, metadata }
            }
            "host" => {
                let HostFields { peer, term } = serde_json::from_str(text)?;
                Self::Host { peer, term }
            }
            "broadcast" => {
                let BroadcastFields { event, from, data } = serde_json::from_str(text)?;
                Self::Broadcast { event, from, data }
            }
            "state" => {
                let StateFields { by, version, value } = serde_json::from_str(text)?;
                Self::State { by, version, value }
            }
            "rules" => Self::Rules(serde_json::from_str(text)?),
            "presence" => {
                let changes = serde_json::from_str::<PresenceFields<'a>>(text)?.changes;
                let changes = changes.into_iter().map(|change| Self::parse_change(change.get()));
                Self::Presence { changes: changes.collect::<Result<_, _>>()? }
            }
            "signal" => {
                let SignalFields { from, data } = serde_json::from_str(text)?;
                Self::Signal { from, data }
            }
            "error" => Self::Error(serde_json::from_str(text)?),
            "goaway" => {
                let GoawayFields { deadline_s, url } = serde_json::from_str(text)?;
                Self::Goaway { deadline_s, url }
            }
            "close" => {
                let CloseFields { code, text } = serde_json::from_str(text)?;
                Self::Close { code, text }
            }
            "waiting" => {
                let WaitingFields { expires_in_s, id } = serde_json::from_str(text)?;
                Self::Waiting { expires_in_s, id }
            }
            "matched" => {
                let MatchedFields { room, players, seats, id } = serde_json::from_str(text)?;
                Self::Matched { room, players, seats: seats.into(), id }
            }
            "expired" => Self::Expired { id: serde_json::from_str::<IdField>(text)?.id },
            "diagnosis" => Self::Diagnosis(serde_json::from_str(text)?),
            "pong" => Self::Pong { id: serde_json::from_str::<IdField>(text)?.id },
            _ => Self::Unknown,
        })
    }

    /// Reads what may stand in a `presence`; else it is nothing that this version knows.
    fn parse_change(text: &'a str) -> Result<Self, serde_json::Error> {
        let kind: KindField<'a> = serde_json::from_str(text)?;
        match &*kind.kind {
            "joined" | "away" | "back" | "left" | "metadata" | "host" => Self::parse(text),
            _ => Ok(Self::Unknown),
        }
    }

    /// Writes one text frame.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = Vec::with_capacity(self.bytes_hint());
        serde_json::to_writer(&mut text, self).expect("strings and raw values have a JSON form");
        String::from_utf8(text).expect("JSON is UTF-8")
    }

    /// How long the text will be, about: so that writing it doesn't move it.
    fn bytes_hint(&self) -> usize {
        match self {
            Self::Signal { from, data } => SIGNAL_BYTES + from.len() + data.get().len(),
            Self::Broadcast { data, .. } | Self::State { value: data, .. } => {
                STATE_BYTES + data.get().len()
            }
            Self::Joined(member) => JOINED_BYTES + member.metadata.get().len(),
            Self::Welcome(state) | Self::Resync(state) => {
                let members = state.members.iter();
                let members = members.map(|it| JOINED_BYTES + it.metadata.get().len());
                STATE_BYTES + members.sum::<usize>()
            }
            Self::Ice(_) | Self::Diagnosis(_) => STATE_BYTES,
            Self::Resumed { .. }
            | Self::Away { .. }
            | Self::Back { .. }
            | Self::Left { .. }
            | Self::Presence { .. }
            | Self::Metadata { .. }
            | Self::Host { .. }
            | Self::Rules(_)
            | Self::Error(_)
            | Self::Ack { .. }
            | Self::Token { .. }
            | Self::Waiting { .. }
            | Self::Matched { .. }
            | Self::Expired { .. }
            | Self::Goaway { .. }
            | Self::Close { .. }
            | Self::Pong { .. }
            | Self::Unknown => OTHER_BYTES,
        }
    }
}

/// What stands around the sender and the payload of a signal.
const SIGNAL_BYTES: usize = r#"{"type":"signal","from":"","data":}"#.len();

/// What stands around the metadata of a member, with ids as the server gives them.
const JOINED_BYTES: usize = 100;

/// What stands around the members of a welcome, with a few ICE servers.
const STATE_BYTES: usize = 1024;

/// Most of the others.
const OTHER_BYTES: usize = 64;

// The fields of the types whose frames are no types of their own.

#[derive(Deserialize)]
struct MetadataFields<'a> {
    #[serde(borrow)]
    peer: Cow<'a, str>,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

#[derive(Deserialize)]
struct HostFields<'a> {
    #[serde(borrow)]
    peer: Option<Cow<'a, str>>,
    term: u64,
}

#[derive(Deserialize)]
struct BroadcastFields<'a> {
    event: Option<u64>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct StateFields<'a> {
    #[serde(borrow)]
    by: Cow<'a, str>,
    version: u64,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[derive(Deserialize)]
struct PresenceFields<'a> {
    #[serde(borrow)]
    changes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct KindField<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LeftFields<'a> {
    #[serde(borrow)]
    peer: Cow<'a, str>,
    reason: LeaveReason,
}

#[derive(Deserialize)]
struct SignalFields<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct TokenFields {
    id: Option<u64>,
    expires_in_s: Option<u64>,
}

#[derive(Deserialize)]
struct PeerField<'a> {
    #[serde(borrow)]
    peer: Cow<'a, str>,
}

#[derive(Deserialize)]
struct AckField {
    ack: u64,
}

#[derive(Deserialize)]
struct GoawayFields<'a> {
    deadline_s: u64,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct CloseFields<'a> {
    code: u16,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WaitingFields {
    expires_in_s: u64,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct MatchedFields<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    players: u32,
    seats: Vec<u32>,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct IdField {
    id: Option<u64>,
}

/// Whether a field that is usually false can be left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::super::{
        AtRelay, Link, SeatAtRelay, Side, TurnReason, TurnRefusal, Verdict, Writers,
    };
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn diagnosis() -> Diagnosis {
        let refusal =
            TurnRefusal { reason: TurnReason::Expired, ago_s: 3, count: 2, expired_s: Some(840) };
        let theirs = SeatAtRelay { refusals: vec![refusal], ..SeatAtRelay::default() };
        Diagnosis {
            id: Some(7),
            peer: "bob".to_owned(),
            verdict: Verdict::TurnExpired,
            side: Some(Side::Theirs),
            text: "bob: TURN credential expired 14 min ago".to_owned(),
            advice: "get new ones".into(),
            yours: Some(Link::default()),
            theirs: None,
            relay: Some(AtRelay { yours: None, theirs: Some(theirs) }),
        }
    }

    fn rewritten(text: &str) -> String {
        ServerFrame::parse(text).unwrap().encode()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one frame of each kind")]
    fn a_frame_reads_back_as_it_was_written() {
        let metadata = raw(r#"{"name": "ada"}"#);
        let member = Member {
            peer: "ada".into(),
            metadata: &metadata,
            polite: true,
            offers: false,
            away: false,
            role: None,
        };
        let rules = Rules {
            capacity: 4,
            sealed: false,
            public: true,
            locked: true,
            writers: Writers::Host,
            history: 9,
        };
        let welcome = Welcome {
            room: "demo".into(),
            peer: "bob".into(),
            session: "demo:bob".into(),
            key: "k".into(),
            grace_s: 30,
            ack: 0,
            role: Some("host".into()),
            members: vec![Member { away: true, role: Some("guest".into()), ..member.clone() }],
            about: Some(About {
                rules,
                host: Some("ada".into()),
                term: Some(3),
                state: Some(RoomState { version: 2, value: &metadata }),
                events: vec![&metadata],
                last_event: Some(7),
                missed: true,
            }),
            ice_servers: vec![IceServer {
                urls: vec!["turn:192.0.2.1:3478".to_owned()],
                username: Some("1:bob".to_owned()),
                credential: Some("x".to_owned()),
            }],
            ice_ttl_s: 60,
            token_ttl_s: Some(600),
            heartbeat: Heartbeat { interval_s: 4, timeout_s: 9 },
            limits: Limits {
                frame_bytes_max: 65_536,
                metadata_bytes_max: 1024,
                members_max: 8,
                unacked_frames_max: 256,
                unacked_bytes_max: 262_144,
            },
        };
        let error = ErrorFrame {
            code: ErrorCode::NoSuchPeer,
            text: "gone".into(),
            retry: false,
            retry_after_ms: Some(7),
            state: Some(RoomState { version: 2, value: &metadata }),
            id: Some(3),
        };
        for frame in [
            ServerFrame::Welcome(welcome.clone()),
            ServerFrame::Resumed { ack: 3 },
            ServerFrame::Resync(welcome),
            ServerFrame::Away { peer: "ada".into() },
            ServerFrame::Back { peer: "ada".into() },
            ServerFrame::Ice(IceUpdate { ice_servers: Vec::new(), ice_ttl_s: 7 }),
            ServerFrame::Token { id: Some(3), expires_in_s: None },
            ServerFrame::Ack { ack: 9 },
            ServerFrame::Metadata { peer: "ada".into(), metadata: &metadata },
            ServerFrame::Host { peer: None, term: 4 },
            ServerFrame::Broadcast { event: Some(3), from: "ada".into(), data: &metadata },
            ServerFrame::State { by: "ada".into(), version: 3, value: &metadata },
            ServerFrame::Rules(rules),
            ServerFrame::Goaway { deadline_s: 30, url: Some("wss://other".into()) },
            ServerFrame::Close { code: 4101, text: "bye".into() },
            ServerFrame::Joined(member),
            ServerFrame::Left { peer: "ada".into(), reason: LeaveReason::Vanished },
            ServerFrame::Presence {
                changes: vec![
                    ServerFrame::Away { peer: "ada".into() },
                    ServerFrame::Left { peer: "bob".into(), reason: LeaveReason::Lost },
                ],
            },
            ServerFrame::Signal { from: "ada".into(), data: &raw("[ 1,2 ]") },
            ServerFrame::Error(error),
            ServerFrame::Waiting { expires_in_s: 60, id: Some(4) },
            ServerFrame::Matched {
                room: "x".into(),
                players: 3,
                seats: vec![1, 2].into(),
                id: None,
            },
            ServerFrame::Expired { id: Some(4) },
            ServerFrame::Pong { id: None },
            ServerFrame::Diagnosis(Box::new(diagnosis())),
        ] {
            let text = frame.encode();
            assert_eq!(rewritten(&text), text);
        }
    }

    #[test]
    fn what_a_newer_server_adds_is_ignored() {
        assert!(matches!(ServerFrame::parse(r#"{"type":"dance"}"#), Ok(ServerFrame::Unknown)));
        let text = r#"{"type":"left","peer":"ada","reason":"bored","at":7}"#;
        let Ok(ServerFrame::Left { reason, .. }) = ServerFrame::parse(text) else { panic!() };
        assert_eq!(reason, LeaveReason::Unknown);
        let text = r#"{"type":"presence","changes":[{"type":"dance"},{"type":"presence"}]}"#;
        let Ok(ServerFrame::Presence { changes }) = ServerFrame::parse(text) else { panic!() };
        assert!(matches!(changes[..], [ServerFrame::Unknown, ServerFrame::Unknown]));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for bad in ["", "[]", "{}", r#"{"type":"signal","from":"ada"}"#, r#"{"type":1}"#] {
            assert!(ServerFrame::parse(bad).is_err(), "{bad}");
        }
    }
}
