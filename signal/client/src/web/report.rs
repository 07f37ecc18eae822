//! What an `RTCStatsReport` says that we want to know.

use super::json::from_js;
use crate::link::Measures;
use crate::{CandidateType, Path, Protocol};
use js_sys::Map;
use serde::Deserialize;
use signal_core::protocol::DtlsState;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};

/// The entries of a report that matter here.
pub(super) struct Report {
    entries: Vec<Entry>,
}

/// One entry of any type: <https://www.w3.org/TR/webrtc-stats/>. Browsers leave much out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    // Of a transport.
    selected_candidate_pair_id: Option<String>,
    dtls_state: Option<String>,
    // Of a candidate pair.
    local_candidate_id: String,
    remote_candidate_id: String,
    /// Only in Firefox, which names no selected pair.
    selected: bool,
    current_round_trip_time: Option<f64>,
    bytes_sent: u64,
    bytes_received: u64,
    requests_sent: u64,
    requests_received: u64,
    responses_received: u64,
    // Of a candidate.
    candidate_type: String,
    protocol: Option<String>,
    /// Of one at a relay: the way to the relay.
    relay_protocol: Option<String>,
}

impl Report {
    /// Reads what `getStats` gave.
    pub(super) fn read(report: &JsValue) -> Self {
        // It is no Map, but maplike.
        let values = report.unchecked_ref::<Map>().values();
        let entries = values.into_iter().flatten().filter_map(|entry| from_js(&entry).ok());
        Self { entries: entries.collect() }
    }

    /// The way that the packets take, once there is one.
    pub(super) fn path(&self) -> Option<Path> {
        let pair = self.pair()?;
        let local = self.entry(&pair.local_candidate_id)?;
        let remote = self.entry(&pair.remote_candidate_id)?;
        Some(Path {
            local: local.candidate_type()?,
            remote: remote.candidate_type()?,
            protocol: local.protocol(),
        })
    }

    /// What the connection has counted.
    pub(super) fn measures(&self) -> Measures {
        let mut measures = Measures::default();
        for pair in self.entries.iter().filter(|entry| entry.kind == "candidate-pair") {
            measures.checks.sent += pair.requests_sent;
            measures.checks.answered += pair.responses_received;
            measures.checks.heard += pair.requests_received;
        }
        measures.dtls = self.entries.iter().find_map(Entry::dtls);
        if let Some(pair) = self.pair() {
            let seconds = pair.current_round_trip_time;
            measures.round_trip = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
            measures.bytes_sent = pair.bytes_sent;
            measures.bytes_received = pair.bytes_received;
        }
        measures
    }

    /// The pair in use.
    fn pair(&self) -> Option<&Entry> {
        let named = self.entries.iter().find_map(|entry| entry.selected_candidate_pair_id.as_ref());
        match named {
            Some(id) => self.entry(id),
            None => self.entries.iter().find(|entry| entry.selected),
        }
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }
}

impl Entry {
    fn dtls(&self) -> Option<DtlsState> {
        match self.dtls_state.as_deref()? {
            "new" => Some(DtlsState::New),
            "connecting" => Some(DtlsState::Connecting),
            "connected" => Some(DtlsState::Connected),
            "failed" => Some(DtlsState::Failed),
            _ => None,
        }
    }

    fn protocol(&self) -> Protocol {
        match self.relay_protocol.as_deref().or(self.protocol.as_deref()) {
            Some("tcp") => Protocol::Tcp,
            Some("tls") => Protocol::Tls,
            Some(_) | None => Protocol::Udp,
        }
    }

    fn candidate_type(&self) -> Option<CandidateType> {
        match &*self.candidate_type {
            "host" => Some(CandidateType::Host),
            "srflx" => Some(CandidateType::ServerReflexive),
            "prflx" => Some(CandidateType::PeerReflexive),
            "relay" => Some(CandidateType::Relay),
            _ => None,
        }
    }
}
