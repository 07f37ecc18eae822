//! What a worker counts, and how an exporter reads it without knowing it.

use crate::Reason;
use crate::wire::{ErrorCode, Method};
use heliograph_base::Sample;
use std::ops::AddAssign;

/// Packets and their bytes in one direction. The bytes are payload: without TURN, UDP or IP
/// headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Packets.
    pub packets: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Flow {
    pub(crate) fn count(&mut self, payload: &[u8]) {
        self.packets += 1;
        self.bytes += payload.len() as u64;
    }
}

impl AddAssign for Flow {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// What one worker counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// From clients to peers over the network.
    pub client_to_peer: Flow,
    /// From peers to clients over the network.
    pub peer_to_client: Flow,
    /// Between two allocations of this relay, counted where it reached the other client.
    pub relay_to_relay: Flow,
    /// Handed to another worker, which counts it as relay to relay or as dropped.
    pub handed_over: Flow,
    /// Allocations begun.
    pub allocations_begun: u64,
    /// Allocations ended.
    pub allocations_ended: u64,
    /// Of those, because their credentials were taken back.
    pub allocations_revoked: u64,
    /// Connections with peers of TCP allocations begun, by either side.
    pub peer_connections_begun: u64,
    /// Of those, ended.
    pub peer_connections_ended: u64,
    /// Moves of allocations to another address of their client.
    pub allocations_moved: u64,
    /// Datagrams of clients passed on to the worker that serves them, which counts what comes of
    /// them.
    pub forwarded: u64,
    requests: [u64; Method::ALL.len()],
    successes: u64,
    errors: [u64; ErrorCode::ALL.len()],
    drops: [u64; Reason::ALL.len()],
}

impl Counters {
    /// How many requests with `method` came in.
    #[must_use]
    pub const fn requests(&self, method: Method) -> u64 {
        self.requests[method as usize]
    }

    /// How many requests were answered with success.
    #[must_use]
    pub const fn successes(&self) -> u64 {
        self.successes
    }

    /// How many requests were answered with `code`.
    #[must_use]
    pub const fn errors(&self, code: ErrorCode) -> u64 {
        self.errors[code as usize]
    }

    /// How many datagrams were dropped for `reason`.
    #[must_use]
    pub const fn drops(&self, reason: Reason) -> u64 {
        self.drops[reason as usize]
    }

    /// How many datagrams were dropped.
    #[must_use]
    pub fn drops_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// How many allocations live.
    #[must_use]
    pub const fn allocations_live(&self) -> u64 {
        self.allocations_begun - self.allocations_ended
    }

    /// Every counter with its name, in an order that never changes within a build.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let requests = Method::ALL.map(|method| {
            Sample::counter("relay_requests", REQUESTS, self.requests(method))
                .labelled("method", method.name())
        });
        let errors = ErrorCode::ALL.map(|code| {
            Sample::counter("relay_errors", ERRORS, self.errors(code))
                .labelled("code", code.digits())
        });
        let drops = Reason::ALL.map(|reason| {
            Sample::counter("relay_drops", DROPS, self.drops(reason))
                .labelled("reason", reason.name())
        });
        let peers_live = self.peer_connections_begun - self.peer_connections_ended;
        let others = [
            Sample::counter("relay_successes", SUCCESSES, self.successes),
            Sample::counter("relay_allocations_begun", BEGUN, self.allocations_begun),
            Sample::counter("relay_allocations_ended", ENDED, self.allocations_ended),
            Sample::counter("relay_allocations_revoked", REVOKED, self.allocations_revoked),
            Sample::counter("relay_allocations_moved", MOVED, self.allocations_moved),
            Sample::counter("relay_datagrams_forwarded", FORWARDED, self.forwarded),
            Sample::gauge("relay_allocations", LIVE, self.allocations_live()),
            Sample::counter(
                "relay_peer_connections_begun",
                PEERS_BEGUN,
                self.peer_connections_begun,
            ),
            Sample::gauge("relay_peer_connections", PEERS_LIVE, peers_live),
        ];
        self.flow_samples().into_iter().chain(requests).chain(errors).chain(drops).chain(others)
    }

    fn flow_samples(&self) -> [Sample; 8] {
        let packets = |path, flow: Flow| {
            Sample::counter("relay_packets", PACKETS, flow.packets).labelled("path", path)
        };
        let bytes = |path, flow: Flow| {
            Sample::counter("relay_bytes", BYTES, flow.bytes).labelled("path", path)
        };
        [
            packets("client_to_peer", self.client_to_peer),
            packets("peer_to_client", self.peer_to_client),
            packets("relay_to_relay", self.relay_to_relay),
            packets("handed_over", self.handed_over),
            bytes("client_to_peer", self.client_to_peer),
            bytes("peer_to_client", self.peer_to_client),
            bytes("relay_to_relay", self.relay_to_relay),
            bytes("handed_over", self.handed_over),
        ]
    }

    pub(crate) fn count_request(&mut self, method: Method) {
        self.requests[method as usize] += 1;
    }

    pub(crate) fn count_success(&mut self) {
        self.successes += 1;
    }

    pub(crate) fn count_error(&mut self, code: ErrorCode) {
        self.errors[code as usize] += 1;
    }

    pub(crate) fn count_drop(&mut self, reason: Reason) {
        self.drops[reason as usize] += 1;
    }
}

const PACKETS: &str = "Packets relayed, by path.";
const BYTES: &str = "Payload bytes relayed, by path.";
const BEGUN: &str = "Allocations begun.";
const ENDED: &str = "Allocations ended.";
const REVOKED: &str = "Allocations ended because their credentials were taken back.";
const PEERS_BEGUN: &str = "Connections of TCP allocations with peers begun, by either side.";
const PEERS_LIVE: &str = "Connections of TCP allocations with peers there are.";
const MOVED: &str = "Allocations taken along to another address of their client.";
const FORWARDED: &str = "Datagrams of clients passed on to the worker that serves them.";
const LIVE: &str = "Live allocations.";
const REQUESTS: &str = "Requests by method.";
const SUCCESSES: &str = "Requests answered with success.";
const ERRORS: &str = "Requests answered with an error, by code.";
const DROPS: &str = "Datagrams dropped, by reason.";

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        self.client_to_peer += other.client_to_peer;
        self.peer_to_client += other.peer_to_client;
        self.relay_to_relay += other.relay_to_relay;
        self.handed_over += other.handed_over;
        self.allocations_begun += other.allocations_begun;
        self.allocations_ended += other.allocations_ended;
        self.allocations_revoked += other.allocations_revoked;
        self.peer_connections_begun += other.peer_connections_begun;
        self.peer_connections_ended += other.peer_connections_ended;
        self.allocations_moved += other.allocations_moved;
        self.forwarded += other.forwarded;
        self.successes += other.successes;
        add_each(&mut self.requests, &other.requests);
        add_each(&mut self.errors, &other.errors);
        add_each(&mut self.drops, &other.drops);
    }
}

fn add_each(sums: &mut [u64], values: &[u64]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}
