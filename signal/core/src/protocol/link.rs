//! What a client says of its link to another member: the `link` of a `report`.

use serde::{Deserialize, Deserializer, Serialize};

/// One end's view of a peer connection. Everything may be missing, and what this version doesn't
/// know is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Link {
    /// How it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<LinkState>,
    /// For how many seconds it has been trying or there.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub for_s: Option<f64>,
    /// Whether it may only go by a relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_only: Option<bool>,
    /// Whether a description of the reporter's was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<bool>,
    /// Whether a description of the other's came and was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<bool>,
    /// The reporter's own candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<Candidates>,
    /// The other's candidates that the reporter knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<Candidates>,
    /// Whether the reporter will find no more candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gathered: Option<bool>,
    /// What the NAT in front of the reporter does, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// The connectivity checks of ICE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// How far the encryption is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dtls: Option<DtlsState>,
    /// The last errors of STUN and TURN servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<IceError>,
    /// Which way it goes, once it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Path>,
    /// How often ICE was begun anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u32>,
    /// How long it took to connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_in_ms: Option<u64>,
}

/// How a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It has not been connected yet.
    Connecting,
    /// Data goes through.
    Connected,
    /// It was connected, and is being mended.
    Interrupted,
    /// It was given up.
    Failed,
    /// The reporter has closed it.
    Closed,
    /// Something that this version doesn't know.
    #[serde(other)]
    Unknown,
}

/// How many candidates of each type there are (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Candidates {
    /// Addresses of its own.
    pub host: u32,
    /// Addresses that a STUN server saw.
    pub srflx: u32,
    /// Addresses that the other end saw.
    pub prflx: u32,
    /// Addresses at a relay.
    pub relay: u32,
}

impl Candidates {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        [self.host, self.srflx, self.prflx, self.relay].into_iter().map(u64::from).sum()
    }
}

/// Whether a NAT gives one socket the same outside address whomever it talks to (RFC 4787 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mapping {
    /// It does.
    Same,
    /// It doesn't: a "symmetric" NAT.
    Varies,
    /// Something that this version doesn't know.
    #[serde(other)]
    Unknown,
}

/// Connectivity checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checks {
    /// Checks that the reporter sent.
    pub sent: u64,
    /// Answers to them that came.
    pub answered: u64,
    /// Checks of the other that came.
    pub heard: u64,
}

/// How far the encryption of a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DtlsState {
    /// Not begun.
    New,
    /// The handshake is under way.
    Connecting,
    /// It is done.
    Connected,
    /// It failed.
    Failed,
    /// Something that this version doesn't know.
    #[serde(other)]
    Unknown,
}

/// An error of a STUN or TURN server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IceError {
    /// The server.
    pub url: String,
    /// Its error code, or 701 if it couldn't be reached.
    pub code: u16,
    /// What it said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Which way a link goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Path {
    /// Whether a relay is on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<PathKind>,
    /// The type of the reporter's candidate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub local: String,
    /// The type of the other's candidate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote: String,
    /// `udp`, `tcp` or `tls`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// The round trip.
    #[serde(deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}

/// Whether a relay is on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// It goes from one peer to the other.
    Direct,
    /// It goes by a relay.
    Relayed,
    /// Something that this version doesn't know.
    #[serde(other)]
    Unknown,
}

/// Why a `link` isn't taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    /// It is too large.
    #[error("a link has at most {0} bytes")]
    TooLarge(usize),
    /// A field isn't what it should be.
    #[error("this is no link as docs/protocol.md describes it: {0}")]
    Unreadable(String),
}

impl Link {
    /// How many errors are kept: the last ones.
    pub const ERRORS_MAX: usize = 4;

    /// Reads the `link` of a report.
    ///
    /// # Errors
    /// [`BadLink`] says what is wrong.
    pub fn read(text: &str, bytes_max: usize) -> Result<Self, BadLink> {
        if text.len() > bytes_max {
            return Err(BadLink::TooLarge(bytes_max));
        }
        let link: Result<Self, _> = serde_json::from_str(text);
        let mut link = link.map_err(|error| BadLink::Unreadable(error.to_string()))?;
        let too_many = link.errors.len().saturating_sub(Self::ERRORS_MAX);
        link.errors.drain(..too_many);
        link.errors.shrink_to_fit();
        Ok(link)
    }
}

/// The largest time that a report may name; another one is left out.
const NUMBER_MAX: f64 = 1e9;

/// Reads a time that makes sense, to a thousandth: so it reads the same after it was written.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let number: Option<f64> = Deserialize::deserialize(from)?;
    let sensible = number.filter(|number| (0.0..=NUMBER_MAX).contains(number));
    Ok(sensible.map(|number| (number * 1000.0).round() / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_make_no_sense_are_left_out_and_others_read_back_as_written() {
        let of = |text: &str| Link::read(&format!(r#"{{"for_s":{text}}}"#), 2048).unwrap().for_s;
        assert_eq!(["-1", "1e300", "null"].map(of), [None; 3]);
        assert_eq!(["12.3456", "1e9", "0"].map(of), [Some(12.346), Some(1e9), Some(0.0)]);
    }

    #[test]
    fn a_link_reads_back_as_it_was_written() {
        let text = concat!(
            r#"{"state":"connected","for_s":12.5,"relay_only":false,"offered":true,"#,
            r#""answered":true,"local":{"host":2,"srflx":1,"prflx":0,"relay":1},"#,
            r#""remote":{"host":1,"srflx":0,"prflx":0,"relay":0},"gathered":true,"#,
            r#""mapping":"same","checks":{"sent":40,"answered":3,"heard":3},"#,
            r#""dtls":"connected","errors":[{"url":"turn:a","code":701,"text":"b"}],"#,
            r#""path":{"kind":"relayed","local":"host","remote":"relay","protocol":"udp","#,
            r#""rtt_ms":1.2},"restarts":1,"connected_in_ms":350}"#
        );
        let link = Link::read(text, 2048).unwrap();
        assert_eq!(serde_json::to_string(&link).unwrap(), text);
        assert_eq!(serde_json::to_string(&Link::read("{}", 2048).unwrap()).unwrap(), "{}");
    }

    #[test]
    fn what_a_newer_client_says_is_left_out() {
        let text = r#"{"state":"dreaming","mapping":"odd","path":{"kind":"x"},"later":[1]}"#;
        let link = Link::read(text, 2048).unwrap();
        assert_eq!(link.state, Some(LinkState::Unknown));
        assert_eq!(link.mapping, Some(Mapping::Unknown));
        assert_eq!(link.path.unwrap().kind, Some(PathKind::Unknown));
    }

    #[test]
    fn only_the_last_errors_are_kept() {
        let errors: Vec<_> = (0..9).map(|code| format!(r#"{{"code":{code}}}"#)).collect();
        let text = format!(r#"{{"errors":[{}]}}"#, errors.join(","));
        let codes = Link::read(&text, 2048).unwrap().errors.into_iter().map(|error| error.code);
        assert_eq!(codes.collect::<Vec<_>>(), [5, 6, 7, 8]);
    }

    #[test]
    fn what_is_too_large_or_no_link_is_refused() {
        assert_eq!(Link::read("{  }", 3), Err(BadLink::TooLarge(3)));
        for bad in ["[", "7", r#"{"state":7}"#, r#"{"local":{"host":-1}}"#] {
            assert!(matches!(Link::read(bad, 2048), Err(BadLink::Unreadable(_))), "{bad}");
        }
    }
}
