//! Which way the packets of a link take.

use std::fmt;

/// The way the packets to a peer take: the pair of candidates that ICE selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// This side's candidate.
    pub local: CandidateType,
    /// The peer's candidate.
    pub remote: CandidateType,
    /// What carries the packets; of a path by this side's relay, the way to it.
    pub protocol: Protocol,
}

/// What carries the packets of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// How an address was found (RFC 8445 §5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateType {
    /// An address of the machine itself.
    Host,
    /// An address that a STUN server saw: the outside of a NAT.
    ServerReflexive,
    /// An address that the other side saw during the checks.
    PeerReflexive,
    /// An address on a TURN server.
    Relay,
}

impl Path {
    /// Whether a relay is between the two.
    #[must_use]
    pub fn is_relayed(self) -> bool {
        [self.local, self.remote].contains(&CandidateType::Relay)
    }
}

impl CandidateType {
    /// The word in the candidate attribute (RFC 8839 §5.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        }
    }
}

impl Protocol {
    /// Its word in reports (docs/protocol.md, "Diagnosis").
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_relayed() { "relayed" } else { "direct" };
        write!(f, "{how} ({} to {}, {})", self.local, self.remote, self.protocol)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CandidateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_relay_on_either_side_is_relayed() {
        let path = |local, remote| Path { local, remote, protocol: Protocol::Udp };
        assert!(path(CandidateType::Host, CandidateType::Relay).is_relayed());
        assert!(path(CandidateType::Relay, CandidateType::Host).is_relayed());
        let direct = path(CandidateType::Host, CandidateType::PeerReflexive);
        assert!(!direct.is_relayed());
        assert_eq!(direct.to_string(), "direct (host to prflx, udp)");
    }
}
