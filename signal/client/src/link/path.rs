//! Which way the packets of a link take.

use std::fmt;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidate, RTCIceCandidateType};

/// The way the packets to a peer take: the pair of candidates that ICE selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// This side's candidate.
    pub local: CandidateType,
    /// The peer's candidate.
    pub remote: CandidateType,
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

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_relayed() { "relayed" } else { "direct" };
        write!(f, "{how} ({} to {})", self.local, self.remote)
    }
}

impl fmt::Display for CandidateType {
    /// The word in the candidate attribute (RFC 8839 §5.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::ServerReflexive => "srflx",
            Self::PeerReflexive => "prflx",
            Self::Relay => "relay",
        })
    }
}

/// The selected path, once there is one.
pub(crate) async fn selected(connection: &dyn PeerConnection) -> Option<Path> {
    let ice = connection.sctp().await?.transport().ice_transport();
    let pair = ice.get_selected_candidate_pair().await.ok()??;
    let locals = ice.get_local_candidates().await.unwrap_or_default();
    let remotes = ice.get_remote_candidates().await.unwrap_or_default();
    Some(Path { local: kind(pair.local(), &locals)?, remote: kind(pair.remote(), &remotes)? })
}

/// The candidate's type. One that a check revealed before its signal came stays "peer reflexive" in
/// the pair, though the signal told more since.
fn kind(candidate: &RTCIceCandidate, known: &[RTCIceCandidate]) -> Option<CandidateType> {
    let told = known.iter().find(|other| {
        (&other.address, other.port) == (&candidate.address, candidate.port)
            && other.typ != RTCIceCandidateType::Prflx
    });
    match told.unwrap_or(candidate).typ {
        RTCIceCandidateType::Host => Some(CandidateType::Host),
        RTCIceCandidateType::Srflx => Some(CandidateType::ServerReflexive),
        RTCIceCandidateType::Prflx => Some(CandidateType::PeerReflexive),
        RTCIceCandidateType::Relay => Some(CandidateType::Relay),
        RTCIceCandidateType::Unspecified | _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(typ: RTCIceCandidateType, port: u16) -> RTCIceCandidate {
        RTCIceCandidate { address: "192.0.2.1".to_owned(), port, typ, ..RTCIceCandidate::default() }
    }

    #[test]
    fn a_path_with_a_relay_on_either_side_is_relayed() {
        let path = |local, remote| Path { local, remote };
        assert!(path(CandidateType::Host, CandidateType::Relay).is_relayed());
        assert!(path(CandidateType::Relay, CandidateType::Host).is_relayed());
        let direct = path(CandidateType::Host, CandidateType::PeerReflexive);
        assert!(!direct.is_relayed());
        assert_eq!(direct.to_string(), "direct (host to prflx)");
    }

    #[test]
    fn a_signalled_type_beats_peer_reflexive() {
        let seen = candidate(RTCIceCandidateType::Prflx, 9);
        let known = [
            candidate(RTCIceCandidateType::Host, 8),
            seen.clone(),
            candidate(RTCIceCandidateType::Relay, 9),
        ];
        assert_eq!(kind(&seen, &known), Some(CandidateType::Relay));
        assert_eq!(kind(&seen, &known[..2]), Some(CandidateType::PeerReflexive));
    }
}
