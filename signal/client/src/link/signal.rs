//! What two peers send each other through the server, in the forms of browsers (docs/protocol.md,
//! "Opaque").

use super::CandidateType;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// One signal: a description or a candidate. One with neither (a newer peer's) means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<Description>,
    /// `Some(None)`, `null` in JSON: no more candidates follow.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "even_null")]
    pub(crate) candidate: Option<Option<Candidate>>,
    /// Which of its connections the sender means; absent from older clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

/// Tells a value that is `null` from none.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Candidate>>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// `RTCSessionDescriptionInit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) sdp: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Offer,
    Answer,
    Rollback,
}

/// `RTCIceCandidateInit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    pub(crate) candidate: String,
    #[serde(default)]
    pub(crate) sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    pub(crate) sdp_m_line_index: Option<u16>,
    #[serde(default)]
    pub(crate) username_fragment: Option<String>,
}

impl Signal {
    pub(crate) fn parse(data: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(data.get())
    }

    pub(crate) fn encode(&self) -> Box<RawValue> {
        to_raw_value(self).expect("strings and numbers have a JSON form")
    }
}

impl From<Description> for Signal {
    fn from(description: Description) -> Self {
        Self { description: Some(description), ..Self::default() }
    }
}

impl From<Option<Candidate>> for Signal {
    fn from(candidate: Option<Candidate>) -> Self {
        Self { candidate: Some(candidate), ..Self::default() }
    }
}

impl Candidate {
    /// The local address of a socket and the one that a STUN server saw of it.
    pub(crate) fn mapping(&self) -> Option<(String, String)> {
        let words: Vec<_> = self.candidate.split_ascii_whitespace().collect();
        let after = |name| words.iter().position(|word| *word == name).map(|at| at + 1);
        let word = |at: usize| words.get(at).copied();
        if self.kind()? != CandidateType::ServerReflexive {
            return None;
        }
        let (address, port) = (word(after("raddr")?)?, word(after("rport")?)?);
        // A browser that hides its addresses shows all sockets as this one.
        let is_hidden = port == "0";
        (!is_hidden).then_some((format!("{address} {port}"), format!("{} {}", word(4)?, word(5)?)))
    }

    /// How its address was found (RFC 8839 §5.1).
    pub(crate) fn kind(&self) -> Option<CandidateType> {
        let mut words = self.candidate.split_ascii_whitespace();
        words.find(|word| *word == "typ")?;
        match words.next()? {
            "host" => Some(CandidateType::Host),
            "srflx" => Some(CandidateType::ServerReflexive),
            "prflx" => Some(CandidateType::PeerReflexive),
            "relay" => Some(CandidateType::Relay),
            _ => None,
        }
    }
}

impl Description {
    /// The ICE user fragment (RFC 8839 §5.4), by which a candidate says to which description it
    /// belongs.
    pub(crate) fn username_fragment(&self) -> Option<&str> {
        self.sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Signal {
        Signal::parse(&RawValue::from_string(text.to_owned()).unwrap()).unwrap()
    }

    #[test]
    fn a_browsers_signals_are_read() {
        let offer = parse(
            r#"{"description":{"type":"offer","sdp":"v=0\r\na=ice-ufrag:Xy+1\r\n"},"new":1}"#,
        );
        assert_eq!(offer.description.unwrap().username_fragment(), Some("Xy+1"));
        let candidate = parse(
            r#"{"candidate":{"candidate":"candidate:1 1 udp 2 x.local 9 typ host",
                "sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"Xy+1"}}"#,
        );
        let candidate = candidate.candidate.flatten().unwrap();
        assert_eq!(candidate.username_fragment.as_deref(), Some("Xy+1"));
        assert_eq!(candidate.kind(), Some(CandidateType::Host));
        let last = parse(r#"{"candidate":null,"link":"k3"}"#);
        assert_eq!(last, Signal { link: Some("k3".to_owned()), ..Signal::from(None) });
        assert_eq!(parse("{}"), Signal::default());
    }

    #[test]
    fn sockets_that_a_browser_hides_are_not_taken_for_one() {
        let mapping = |socket: &str| {
            let candidate =
                format!("candidate:1 1 udp 2 203.0.113.9 4000 typ srflx {socket} generation 0");
            Candidate { candidate, ..Candidate::default() }.mapping()
        };
        let known = ("10.0.0.2 5000".to_owned(), "203.0.113.9 4000".to_owned());
        assert_eq!(mapping("raddr 10.0.0.2 rport 5000"), Some(known));
        assert_eq!(mapping("raddr 0.0.0.0 rport 0"), None);
    }

    #[test]
    fn a_signal_is_written_as_a_browser_reads_it() {
        let candidate = Candidate {
            candidate: "candidate:1".into(),
            sdp_m_line_index: Some(0),
            ..Candidate::default()
        };
        assert_eq!(
            Signal::from(Some(candidate)).encode().get(),
            concat!(
                r#"{"candidate":{"candidate":"candidate:1","sdpMid":null,"#,
                r#""sdpMLineIndex":0,"usernameFragment":null}}"#
            ),
        );
        let last = Signal { link: Some("k3".to_owned()), ..Signal::from(None) };
        assert_eq!(last.encode().get(), r#"{"candidate":null,"link":"k3"}"#);
        let rollback = Description { kind: Kind::Rollback, sdp: String::new() };
        assert_eq!(
            Signal::from(rollback).encode().get(),
            r#"{"description":{"type":"rollback","sdp":""}}"#
        );
    }
}
