//! What the stream clients' side counts.

use super::connection::End;
use super::gate::Refusal;
use heliograph_base::Sample;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counted per connection, not per message.
#[derive(Debug, Default)]
pub(super) struct StreamCounters {
    accepted: AtomicU64,
    accept_failures: AtomicU64,
    handshake_failures: AtomicU64,
    https: AtomicU64,
    refused: [AtomicU64; 3],
    ended: [AtomicU64; End::ALL.len()],
    spliced: [AtomicU64; 2],
}

/// Which way bytes go between a client and a TCP peer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path {
    ClientToPeer,
    PeerToClient,
}

impl StreamCounters {
    pub(super) fn accepted(&self) {
        count(&self.accepted);
    }

    /// Says how many failures there were.
    pub(super) fn accept_failed(&self) -> u64 {
        count(&self.accept_failures)
    }

    pub(super) fn handshake_failed(&self) {
        count(&self.handshake_failures);
    }

    pub(super) fn handed_to_https(&self) {
        count(&self.https);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        count(&self.refused[refusal as usize]);
    }

    pub(super) fn ended(&self, end: End) {
        count(&self.ended[end as usize]);
    }

    pub(super) fn spliced(&self, path: Path, bytes: usize) {
        self.spliced[path as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn samples(&self, open: u64) -> Vec<Sample> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let refusals = [Refusal::Connections, Refusal::HalfOpen, Refusal::Source];
        let refused = refusals.into_iter().map(|refusal| {
            let value = load(&self.refused[refusal as usize]);
            Sample::counter("relay_stream_refused", REFUSED, value)
                .labelled("limit", refusal_label(refusal))
        });
        let ended = End::ALL.into_iter().map(|end| {
            Sample::counter("relay_stream_ended", ENDED, load(&self.ended[end as usize]))
                .labelled("reason", end.label())
        });
        let spliced = |path: Path, label| {
            let bytes = load(&self.spliced[path as usize]);
            Sample::counter("relay_spliced_bytes", SPLICED, bytes).labelled("path", label)
        };
        let others = [
            spliced(Path::ClientToPeer, "client_to_peer"),
            spliced(Path::PeerToClient, "peer_to_client"),
            Sample::gauge("relay_stream_connections", OPEN, open),
            Sample::counter("relay_stream_accepted", ACCEPTED, load(&self.accepted)),
            Sample::counter("relay_stream_accept_failures", FAILED, load(&self.accept_failures)),
            Sample::counter("relay_stream_handshake_failures", TLS, load(&self.handshake_failures)),
            Sample::counter("relay_stream_https", HTTPS, load(&self.https)),
        ];
        refused.chain(ended).chain(others).collect()
    }
}

const REFUSED: &str = "TCP and TLS connections refused, by the limit that was reached.";
const ENDED: &str = "TCP and TLS connections ended, by reason.";
const OPEN: &str = "TCP and TLS connections there are.";
const ACCEPTED: &str = "TCP and TLS connections accepted.";
const FAILED: &str = "Failures to accept a TCP or TLS connection.";
const TLS: &str = "TLS handshakes that failed or took too long.";
const SPLICED: &str = "Bytes passed between clients and TCP peers, by path.";
const HTTPS: &str = "TLS connections handed to HTTPS.";

fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

fn refusal_label(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Connections => "connections",
        Refusal::HalfOpen => "half_open",
        Refusal::Source => "source",
    }
}
