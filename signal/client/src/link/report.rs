//! What this side knows of a link, for the server to find out why it is as it is (docs/protocol.md,
//! `report`).

use super::{Candidate, CandidateType, ConnectionState, Path};
use crate::config::CANDIDATE_ERRORS_MAX;
use heliograph_base::Time;
use signal_core::protocol::{
    self, Candidates, Checks, DtlsState, IceError, Link, LinkState, Mapping, PathKind,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What happened to one connection.
#[derive(Debug)]
pub(super) struct Facts {
    begun: Time,
    pub(super) connected_in: Option<Duration>,
    pub(super) offered: bool,
    pub(super) answered: bool,
    pub(super) gathered: bool,
    pub(super) state: Option<ConnectionState>,
    pub(super) was_connected: bool,
    local: Candidates,
    remote: Candidates,
    /// The outside addresses of each local one.
    mapped: BTreeMap<String, BTreeSet<String>>,
    errors: VecDeque<IceError>,
}

/// What is the same for all connections of a link.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkFacts {
    pub(super) relay_only: bool,
    pub(super) restarts: u32,
    pub(super) path: Option<Path>,
    pub(super) round_trip: Option<Duration>,
    pub(super) checks: Checks,
    pub(super) dtls: Option<DtlsState>,
}

impl Facts {
    pub(super) fn new(begun: Time) -> Self {
        Self {
            begun,
            connected_in: None,
            offered: false,
            answered: false,
            gathered: false,
            state: None,
            was_connected: false,
            local: Candidates::default(),
            remote: Candidates::default(),
            mapped: BTreeMap::new(),
            errors: VecDeque::new(),
        }
    }

    /// For how long it has been tried or there.
    pub(super) fn age(&self, now: Time) -> Duration {
        now.since(self.begun)
    }

    /// The channels are open.
    pub(super) fn mark_connected(&mut self, now: Time) {
        self.was_connected = true;
        self.connected_in.get_or_insert(now.since(self.begun));
    }

    pub(super) fn add_local(&mut self, candidate: &Candidate) {
        count(&mut self.local, candidate);
        if let Some((base, outside)) = candidate.mapping() {
            self.mapped.entry(base).or_default().insert(outside);
        }
    }

    pub(super) fn add_remote(&mut self, candidate: &Candidate) {
        count(&mut self.remote, candidate);
    }

    pub(super) fn add_error(&mut self, error: IceError) {
        if self.errors.len() >= CANDIDATE_ERRORS_MAX {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    /// The report.
    pub(super) fn report(&self, now: Time, facts: &LinkFacts) -> Link {
        let path = facts.path.map(|path| protocol::Path {
            kind: Some(if path.is_relayed() { PathKind::Relayed } else { PathKind::Direct }),
            local: path.local.as_str().to_owned(),
            remote: path.remote.as_str().to_owned(),
            protocol: path.protocol.as_str().to_owned(),
            rtt_ms: facts.round_trip.map(|rtt| (rtt.as_secs_f64() * 1e4).round() / 10.0),
        });
        Link {
            state: Some(self.state()),
            for_s: Some(now.since(self.begun).as_millis() as f64 / 1e3),
            relay_only: Some(facts.relay_only),
            offered: Some(self.offered),
            answered: Some(self.answered),
            local: Some(self.local),
            remote: Some(self.remote),
            gathered: Some(self.gathered),
            mapping: self.mapping(facts.path),
            checks: Some(facts.checks),
            dtls: facts.dtls,
            errors: self.errors.iter().cloned().collect(),
            path,
            restarts: Some(facts.restarts),
            connected_in_ms: self.connected_in.map(|time| time.as_millis() as u64),
        }
    }

    /// What is known of the own NAT. That the peer sees the address that a STUN server saw shows
    /// that it is the same for both (RFC 8445 §7.2.5.3.1); one server alone shows nothing.
    fn mapping(&self, path: Option<Path>) -> Option<Mapping> {
        if self.mapped.values().any(|outsides| outsides.len() > 1) {
            return Some(Mapping::Varies);
        }
        let is_same = path.is_some_and(|path| path.local == CandidateType::ServerReflexive);
        is_same.then_some(Mapping::Same)
    }

    fn state(&self) -> LinkState {
        match self.state {
            Some(ConnectionState::Failed) => LinkState::Failed,
            Some(ConnectionState::Closed) => LinkState::Closed,
            Some(ConnectionState::Silent) => LinkState::Interrupted,
            Some(ConnectionState::Connected) if self.was_connected => LinkState::Connected,
            Some(ConnectionState::Connected) | None => LinkState::Connecting,
        }
    }
}

fn count(candidates: &mut Candidates, candidate: &Candidate) {
    match candidate.kind() {
        Some(CandidateType::Host) => candidates.host += 1,
        Some(CandidateType::ServerReflexive) => candidates.srflx += 1,
        Some(CandidateType::PeerReflexive) => candidates.prflx += 1,
        Some(CandidateType::Relay) => candidates.relay += 1,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Protocol;
    use serde_json::{Value, json};

    fn candidate(text: &str) -> Candidate {
        Candidate { candidate: format!("candidate:1 1 udp 9 {text}"), ..Candidate::default() }
    }

    fn report(facts: &Facts, after: u64, link: &LinkFacts) -> Value {
        let now = Time::START + Duration::from_millis(after);
        serde_json::to_value(facts.report(now, link)).unwrap()
    }

    #[test]
    fn a_report_says_what_has_happened_so_far() {
        let mut facts = Facts::new(Time::START);
        facts.offered = true;
        facts.add_local(&candidate("10.0.0.1 5 typ host"));
        facts.add_local(&candidate("198.51.100.1 7 typ srflx raddr 10.0.0.1 rport 5"));
        facts.add_remote(&candidate("192.0.2.1 9 typ relay raddr 0.0.0.0 rport 0"));
        let link = LinkFacts { relay_only: true, ..LinkFacts::default() };
        let expected = json!({
            "state": "connecting", "for_s": 1.5, "relay_only": true, "offered": true,
            "answered": false, "local": {"host": 1, "srflx": 1, "prflx": 0, "relay": 0},
            "remote": {"host": 0, "srflx": 0, "prflx": 0, "relay": 1}, "gathered": false,
            "checks": {"sent": 0, "answered": 0, "heard": 0}, "restarts": 0,
        });
        assert_eq!(report(&facts, 1500, &link), expected);

        facts.add_local(&candidate("198.51.100.1 8 typ srflx raddr 10.0.0.1 rport 5"));
        facts.state = Some(ConnectionState::Connected);
        facts.mark_connected(Time::START + Duration::from_millis(350));
        let (local, remote) = (CandidateType::Host, CandidateType::Relay);
        let round_trip = Some(Duration::from_micros(1234));
        let path = Some(Path { local, remote, protocol: Protocol::Tls });
        let link = LinkFacts { path, round_trip, ..link };
        let report = report(&facts, 2000, &link);
        assert_eq!((&report["state"], &report["mapping"]), (&json!("connected"), &json!("varies")));
        assert_eq!(report["connected_in_ms"], 350);
        let path = json!({
            "kind": "relayed", "local": "host", "remote": "relay", "protocol": "tls", "rtt_ms": 1.2,
        });
        assert_eq!(report["path"], path);
    }

    #[test]
    fn a_nat_is_said_to_be_the_same_for_all_only_where_the_peer_has_seen_so() {
        let mut facts = Facts::new(Time::START);
        facts.add_local(&candidate("198.51.100.1 7 typ srflx raddr 10.0.0.1 rport 5"));
        let mapping = |facts: &Facts, local| {
            let (remote, protocol) = (CandidateType::Host, Protocol::Udp);
            let path = Some(Path { local, remote, protocol });
            report(facts, 0, &LinkFacts { path, ..LinkFacts::default() })["mapping"].clone()
        };
        assert_eq!(report(&facts, 0, &LinkFacts::default())["mapping"], Value::Null);
        assert_eq!(mapping(&facts, CandidateType::PeerReflexive), Value::Null);
        assert_eq!(mapping(&facts, CandidateType::ServerReflexive), "same");
        facts.add_local(&candidate("198.51.100.1 8 typ srflx raddr 10.0.0.1 rport 5"));
        assert_eq!(mapping(&facts, CandidateType::ServerReflexive), "varies");
    }

    #[test]
    fn a_report_stays_small_whatever_fails() {
        let mut facts = Facts::new(Time::START);
        for n in 0..100 {
            let (url, text) = (format!("turn:a:{n}"), "no".to_owned());
            facts.add_error(IceError { url, code: 701, text });
        }
        let report = report(&facts, 0, &LinkFacts::default());
        assert_eq!(report["errors"].as_array().unwrap().len(), CANDIDATE_ERRORS_MAX);
        assert_eq!(report["errors"][CANDIDATE_ERRORS_MAX - 1]["url"], "turn:a:99");
    }
}
