//! The answer to `diagnose`: how a pair is connected, or why it isn't.

use super::Link;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Why two members are connected as they are, or aren't.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The `id` of the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The other member.
    pub peer: String,
    /// For programs.
    pub verdict: Verdict,
    /// On whose side the reason is, if it is on a side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// For people: one sentence.
    pub text: String,
    /// What to do about it; empty: nothing.
    #[serde(default)]
    pub advice: Cow<'static, str>,
    /// The last report of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yours: Option<Link>,
    /// The last report of the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theirs: Option<Link>,
    /// What the server's own relay knows of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<AtRelay>,
}

/// How a pair is connected, or why not. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Data goes from peer to peer.
    ConnectedDirect,
    /// Data goes by a relay.
    ConnectedRelayed,
    /// It is too early to say.
    Connecting,
    /// The other one isn't in the room.
    PeerLeft,
    /// The other one has lost the server.
    PeerAway,
    /// No description came from one side.
    PeerSilent,
    /// The other one never sent candidates.
    NoCandidatesFromPeer,
    /// This one has found no candidates.
    NoLocalCandidates,
    /// Only a relay may be used, and there is none.
    RelayOnlyWithoutRelay,
    /// The relay refused credentials that had expired.
    TurnExpired,
    /// The relay refused credentials that are wrong or were taken back.
    TurnUnauthorized,
    /// The relay refused, since a quota is used up.
    TurnQuota,
    /// The relay refused, since it has no capacity.
    TurnNoCapacity,
    /// The relay may not send to the addresses of the other.
    TurnForbiddenPeer,
    /// The relay couldn't be reached.
    TurnUnreachable,
    /// Both are behind NATs that only a relay gets through, and neither has one.
    BothSymmetricNoRelay,
    /// There is no direct way, and the server offers no relay.
    NoRelayOffered,
    /// Nothing that the two sent each other arrived.
    ChecksUnanswered,
    /// There is a way, but no encryption came about.
    DtlsFailed,
    /// The other one has closed the link.
    ClosedByPeer,
    /// This one has closed the link.
    ClosedByYou,
    /// The server can't be reached. Clients say it themselves.
    SignalingLost,
    /// Something that this version doesn't know.
    #[serde(other)]
    Unknown,
}

/// One of the two ends, as seen from who asked, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Who asked.
    Yours,
    /// The other.
    Theirs,
    /// Both.
    Both,
}

/// What the server's own relay knows of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtRelay {
    /// Of who asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yours: Option<SeatAtRelay>,
    /// Of the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub theirs: Option<SeatAtRelay>,
}

/// What a relay knows of one seat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeatAtRelay {
    /// Allocations that it has now.
    pub allocations: usize,
    /// For how many seconds it has had the oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// What these relayed from the client.
    pub from_client_bytes: u64,
    /// What these relayed to the client.
    pub to_client_bytes: u64,
    /// What was refused, a reason once.
    pub refusals: Vec<TurnRefusal>,
}

/// Something that a relay refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRefusal {
    /// Why.
    pub reason: TurnReason,
    /// How many seconds ago it last did.
    pub ago_s: u64,
    /// How often.
    pub count: u32,
    /// For how many seconds the credentials had expired by now, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_s: Option<u64>,
}

/// Why a relay refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnReason {
    /// The credentials have expired.
    Expired,
    /// The credentials were taken back.
    Revoked,
    /// The password is wrong. Anybody can make the relay say this of any seat.
    Unauthorized,
    /// A quota is used up.
    Quota,
    /// The relay has no capacity.
    NoCapacity,
    /// It doesn't send to such peers.
    ForbiddenPeer,
    /// It has no addresses of the family that was asked for.
    Family,
    /// Something that this version doesn't know.
    #[serde(other)]
    Unknown,
}

impl Verdict {
    /// All that a server says, in the order of docs/protocol.md.
    pub const ALL: [Self; 21] = [
        Self::ConnectedDirect,
        Self::ConnectedRelayed,
        Self::Connecting,
        Self::PeerLeft,
        Self::PeerAway,
        Self::PeerSilent,
        Self::NoCandidatesFromPeer,
        Self::NoLocalCandidates,
        Self::RelayOnlyWithoutRelay,
        Self::TurnExpired,
        Self::TurnUnauthorized,
        Self::TurnQuota,
        Self::TurnNoCapacity,
        Self::TurnForbiddenPeer,
        Self::TurnUnreachable,
        Self::BothSymmetricNoRelay,
        Self::NoRelayOffered,
        Self::ChecksUnanswered,
        Self::DtlsFailed,
        Self::ClosedByPeer,
        Self::ClosedByYou,
    ];

    /// Its name in frames and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ConnectedDirect => "connected_direct",
            Self::ConnectedRelayed => "connected_relayed",
            Self::Connecting => "connecting",
            Self::PeerLeft => "peer_left",
            Self::PeerAway => "peer_away",
            Self::PeerSilent => "peer_silent",
            Self::NoCandidatesFromPeer => "no_candidates_from_peer",
            Self::NoLocalCandidates => "no_local_candidates",
            Self::RelayOnlyWithoutRelay => "relay_only_without_relay",
            Self::TurnExpired => "turn_expired",
            Self::TurnUnauthorized => "turn_unauthorized",
            Self::TurnQuota => "turn_quota",
            Self::TurnNoCapacity => "turn_no_capacity",
            Self::TurnForbiddenPeer => "turn_forbidden_peer",
            Self::TurnUnreachable => "turn_unreachable",
            Self::BothSymmetricNoRelay => "both_symmetric_no_relay",
            Self::NoRelayOffered => "no_relay_offered",
            Self::ChecksUnanswered => "checks_unanswered",
            Self::DtlsFailed => "dtls_failed",
            Self::ClosedByPeer => "closed_by_peer",
            Self::ClosedByYou => "closed_by_you",
            Self::SignalingLost => "signaling_lost",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_one_name() {
        for verdict in Verdict::ALL.into_iter().chain([Verdict::SignalingLost]) {
            let written = serde_json::to_string(&verdict).unwrap();
            assert_eq!(written, format!("\"{}\"", verdict.code()));
        }
        let newer: Verdict = serde_json::from_str("\"moon_phase\"").unwrap();
        assert_eq!(newer, Verdict::Unknown);
    }
}
