//! What the shell counts, and how others read the counters of running workers.

use crate::io::{SendFailure, SendFailures};
use heliograph_base::Sample;
use relay_core::Counters;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one worker's shell counts, beside the core's [`Counters`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShellCounters {
    pub(crate) send_failures: SendFailures,
    pub(crate) receive_failures: u64,
    pub(crate) icmp_errors: u64,
    pub(crate) handover_full: u64,
    pub(crate) stream_data_dropped: u64,
    pub(crate) ports_opened: u64,
    pub(crate) ports_closed: u64,
    pub(crate) port_failures: u64,
    pub(crate) turns: u64,
}

impl ShellCounters {
    fn samples(&self) -> impl Iterator<Item = Sample> + use<> {
        let (failures, open) = (self.send_failures, self.ports_opened - self.ports_closed);
        let sends = SendFailure::ALL.into_iter().map(move |failure| {
            Sample::counter("relay_send_failures", SENDS, failures.count(failure))
                .labelled("error", failure.label())
        });
        sends.chain([
            Sample::counter("relay_receive_failures", RECEIVES, self.receive_failures),
            Sample::counter("relay_icmp_errors", ICMP, self.icmp_errors),
            Sample::counter("relay_handover_full", HANDOVER, self.handover_full),
            Sample::counter("relay_stream_data_dropped", STREAM_DATA, self.stream_data_dropped),
            Sample::counter("relay_port_failures", PORT_FAILURES, self.port_failures),
            Sample::counter("relay_turns", TURNS, self.turns),
            Sample::gauge("relay_open_ports", PORTS, open),
        ])
    }
}

const SENDS: &str = "Datagrams that the machine could not send, by error.";
const RECEIVES: &str = "Failed attempts to receive.";
const ICMP: &str = "ICMP errors about datagrams sent to peers.";
const HANDOVER: &str = "Packets dropped because another worker's queue was full.";
const STREAM_DATA: &str = "Messages of data dropped since TCP and TLS clients read too slowly.";
const PORT_FAILURES: &str = "Failed attempts to open relay ports.";
const TURNS: &str = "Turns of the workers: how often they woke up.";
const PORTS: &str = "Open relay ports, those in stock included.";

/// Where one worker shows its counters: written by it from time to time, read by anybody without a
/// lock.
#[derive(Debug)]
pub(crate) struct Board {
    values: Box<[AtomicU64]>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let (core, shell) = (Counters::default(), ShellCounters::default());
        let values = samples(&core, &shell).map(|_| AtomicU64::new(0)).collect();
        Self { values }
    }

    pub(crate) fn show(&self, core: &Counters, shell: &ShellCounters) {
        for (value, sample) in self.values.iter().zip(samples(core, shell)) {
            value.store(sample.value, Ordering::Relaxed);
        }
    }

    /// Every counter, summed over `boards`.
    pub(crate) fn sum<'a>(boards: impl IntoIterator<Item = &'a Self>) -> Vec<Sample> {
        let mut sums: Vec<_> = samples(&Counters::default(), &ShellCounters::default()).collect();
        for board in boards {
            for (sum, value) in sums.iter_mut().zip(&board.values) {
                sum.value += value.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

/// All counters, in an order that never changes.
fn samples(core: &Counters, shell: &ShellCounters) -> impl Iterator<Item = Sample> {
    core.samples().chain(shell.samples())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn boards_add_up_by_name_and_label() {
        let (one, two) = (Board::new(), Board::new());
        let mut core = Counters::default();
        (core.allocations_begun, core.allocations_ended) = (3, 1);
        let mut shell = ShellCounters { icmp_errors: 5, ..ShellCounters::default() };
        shell.send_failures.add(SendFailure::Refused);
        one.show(&core, &shell);
        two.show(&core, &ShellCounters::default());
        let sums = Board::sum([&one, &two]);
        let value = |name, label: Option<&str>| {
            let named = |sample: &&Sample| {
                sample.name == name && sample.label.map(|(_, value)| value) == label
            };
            sums.iter().find(named).unwrap().value
        };
        assert_eq!(value("relay_allocations_begun", None), 6);
        assert_eq!(value("relay_allocations", None), 4);
        assert_eq!(value("relay_icmp_errors", None), 5);
        assert_eq!(value("relay_send_failures", Some("refused")), 1);
        assert_eq!(value("relay_send_failures", Some("too_long")), 0);
    }

    #[test]
    fn no_name_and_label_is_there_twice() {
        let sums = Board::sum([]);
        let names: HashSet<_> = sums.iter().map(|sample| (sample.name, sample.label)).collect();
        assert_eq!(names.len(), sums.len());
    }
}
