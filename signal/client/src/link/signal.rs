//! What two peers send each other through the server, in the forms of browsers (docs/protocol.md,
//! "Opaque").

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// One signal: a description or a candidate. One with neither (a newer peer's, or "no more
/// candidates") means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<Description>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) candidate: Option<Candidate>,
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

/// A hash of a certificate. Who is connected has proven that the certificate is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(String);

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
        Self { description: Some(description), candidate: None }
    }
}

impl From<Candidate> for Signal {
    fn from(candidate: Candidate) -> Self {
        Self { description: None, candidate: Some(candidate) }
    }
}

impl Description {
    /// The ICE user fragment (RFC 8839 §5.4), by which a candidate says to which description it
    /// belongs.
    pub(crate) fn username_fragment(&self) -> Option<&str> {
        self.attribute("a=ice-ufrag:")
    }

    /// The certificate that the sender will show (RFC 8122 §5).
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        let text = self.attribute("a=fingerprint:")?;
        Some(Fingerprint(text.to_ascii_lowercase()))
    }

    fn attribute(&self, start: &str) -> Option<&str> {
        self.sdp.lines().find_map(|line| line.trim_end().strip_prefix(start))
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
        assert_eq!(candidate.candidate.unwrap().username_fragment.as_deref(), Some("Xy+1"));
        assert_eq!(parse(r#"{"candidate":null}"#), Signal::default());
    }

    #[test]
    fn a_certificate_is_known_again_however_it_is_written() {
        let fingerprint =
            |sdp: &str| Description { kind: Kind::Offer, sdp: sdp.to_owned() }.fingerprint();
        let upper = fingerprint("v=0\r\na=fingerprint:sha-256 AB:01\r\n");
        assert_eq!(upper, fingerprint("v=0\na=fingerprint:SHA-256 ab:01\n"));
        assert_ne!(upper, fingerprint("a=fingerprint:sha-256 AB:02"));
        assert_eq!(fingerprint("v=0\r\n"), None);
    }

    #[test]
    fn a_signal_is_written_as_a_browser_reads_it() {
        let candidate = Candidate {
            candidate: "candidate:1".into(),
            sdp_m_line_index: Some(0),
            ..Candidate::default()
        };
        assert_eq!(
            Signal::from(candidate).encode().get(),
            concat!(
                r#"{"candidate":{"candidate":"candidate:1","sdpMid":null,"#,
                r#""sdpMLineIndex":0,"usernameFragment":null}}"#
            ),
        );
        let rollback = Description { kind: Kind::Rollback, sdp: String::new() };
        assert_eq!(
            Signal::from(rollback).encode().get(),
            r#"{"description":{"type":"rollback","sdp":""}}"#
        );
    }
}
