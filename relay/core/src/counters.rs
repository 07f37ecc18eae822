//! What a worker counts, and how an exporter reads it without knowing it.

use crate::Reason;
use crate::wire::{ErrorCode, Method};
use std::ops::AddAssign;

/// Packets and their bytes in one direction. The bytes are payload: without TURN, UDP or IP headers.
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
        let requests = Method::ALL.into_iter().map(|method| {
            let label = Some(("method", method.name()));
            Sample {
                label,
                ..counter("relay_requests", REQUESTS, self.requests(method))
            }
        });
        let errors = ErrorCode::ALL.into_iter().map(|code| {
            let label = Some(("code", code.digits()));
            Sample {
                label,
                ..counter("relay_errors", ERRORS, self.errors(code))
            }
        });
        let drops = Reason::ALL.into_iter().map(|reason| {
            let label = Some(("reason", reason.name()));
            Sample {
                label,
                ..counter("relay_drops", DROPS, self.drops(reason))
            }
        });
        let kind = Kind::Gauge;
        let live = counter(
            "relay_allocations",
            "Live allocations.",
            self.allocations_live(),
        );
        self.flows()
            .chain(requests)
            .chain([counter("relay_successes", SUCCESSES, self.successes)])
            .chain(errors)
            .chain(drops)
            .chain([
                counter(
                    "relay_allocations_begun",
                    "Allocations begun.",
                    self.allocations_begun,
                ),
                counter(
                    "relay_allocations_ended",
                    "Allocations ended.",
                    self.allocations_ended,
                ),
                Sample { kind, ..live },
            ])
    }

    fn flows(&self) -> impl Iterator<Item = Sample> + use<> {
        let flows = [
            ("client_to_peer", self.client_to_peer),
            ("peer_to_client", self.peer_to_client),
            ("relay_to_relay", self.relay_to_relay),
            ("handed_over", self.handed_over),
        ];
        let samples = move |name, help, value: fn(Flow) -> u64| {
            flows.into_iter().map(move |(path, flow)| {
                let label = Some(("path", path));
                Sample {
                    label,
                    ..counter(name, help, value(flow))
                }
            })
        };
        samples("relay_packets", "Packets relayed.", |flow| flow.packets).chain(samples(
            "relay_bytes",
            "Payload bytes relayed.",
            |flow| flow.bytes,
        ))
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

/// One counter as an exporter wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What is counted, `snake_case`, without prefix of the program or suffix of the format.
    pub name: &'static str,
    /// One sentence about it.
    pub help: &'static str,
    /// Whether it can go down.
    pub kind: Kind,
    /// Which of several of the same name, if there are: label and value.
    pub label: Option<(&'static str, &'static str)>,
    /// Its value.
    pub value: u64,
}

/// Whether a value can go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

const fn counter(name: &'static str, help: &'static str, value: u64) -> Sample {
    Sample {
        name,
        help,
        kind: Kind::Counter,
        label: None,
        value,
    }
}
