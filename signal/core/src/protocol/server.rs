//! Frames from the server to a client.

use super::{ErrorCode, LeaveReason};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the server tells a client.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The answer to `hello`: the seat.
    Welcome(Welcome<'a>),
    /// Another peer joined the room.
    Joined(Member<'a>),
    /// Another peer is no longer in the room.
    Left {
        /// Who it was.
        peer: Cow<'a, str>,
        /// Why.
        reason: LeaveReason,
    },
    /// What another member sent to this one.
    Signal {
        /// The sender's peer id.
        from: Cow<'a, str>,
        /// Byte for byte as it was sent.
        data: &'a RawValue,
    },
    /// A request was refused.
    Error(ErrorFrame<'a>),
    /// The answer to `ping`.
    Pong {
        /// The `id` of the ping.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
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
    /// Everybody else in the room, in the order of their joining.
    #[serde(borrow)]
    pub members: Vec<Member<'a>>,
    /// For `RTCPeerConnection`'s `iceServers`, as it stands.
    pub ice_servers: Vec<IceServer>,
    /// For how many seconds from now the ICE servers' credentials are good.
    pub ice_ttl_s: u64,
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
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
        }
        #[derive(Deserialize)]
        struct Left<'a> {
            #[serde(borrow)]
            peer: Cow<'a, str>,
            reason: LeaveReason,
        }
        #[derive(Deserialize)]
        struct Signal<'a> {
            #[serde(borrow)]
            from: Cow<'a, str>,
            #[serde(borrow)]
            data: &'a RawValue,
        }
        #[derive(Deserialize)]
        struct Pong {
            id: Option<u64>,
        }
        let kind: Kind<'a> = serde_json::from_str(text)?;
        Ok(match &*kind.kind {
            "welcome" => Self::Welcome(serde_json::from_str(text)?),
            "joined" => Self::Joined(serde_json::from_str(text)?),
            "left" => {
                let Left { peer, reason } = serde_json::from_str(text)?;
                Self::Left { peer, reason }
            }
            "signal" => {
                let Signal { from, data } = serde_json::from_str(text)?;
                Self::Signal { from, data }
            }
            "error" => Self::Error(serde_json::from_str(text)?),
            "pong" => Self::Pong { id: serde_json::from_str::<Pong>(text)?.id },
            _ => Self::Unknown,
        })
    }

    /// Writes one text frame.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("strings and raw values have a JSON form")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn rewritten(text: &str) -> String {
        ServerFrame::parse(text).unwrap().encode()
    }

    #[test]
    fn a_frame_reads_back_as_it_was_written() {
        let metadata = raw(r#"{"name": "ada"}"#);
        let member =
            Member { peer: "ada".into(), metadata: &metadata, polite: true, offers: false };
        let welcome = Welcome {
            room: "demo".into(),
            peer: "bob".into(),
            members: vec![member.clone()],
            ice_servers: vec![IceServer {
                urls: vec!["turn:192.0.2.1:3478".to_owned()],
                username: Some("1:bob".to_owned()),
                credential: Some("x".to_owned()),
            }],
            ice_ttl_s: 60,
            heartbeat: Heartbeat { interval_s: 4, timeout_s: 9 },
            limits: Limits { frame_bytes_max: 65_536, metadata_bytes_max: 1024, members_max: 8 },
        };
        let error = ErrorFrame {
            code: ErrorCode::NoSuchPeer,
            text: "gone".into(),
            retry: false,
            id: Some(3),
        };
        for frame in [
            ServerFrame::Welcome(welcome),
            ServerFrame::Joined(member),
            ServerFrame::Left { peer: "ada".into(), reason: LeaveReason::Vanished },
            ServerFrame::Signal { from: "ada".into(), data: &raw("[ 1,2 ]") },
            ServerFrame::Error(error),
            ServerFrame::Pong { id: None },
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
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for bad in ["", "[]", "{}", r#"{"type":"signal","from":"ada"}"#, r#"{"type":1}"#] {
            assert!(ServerFrame::parse(bad).is_err(), "{bad}");
        }
    }
}
