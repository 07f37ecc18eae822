//! What an operator can set, and every limit with its name, unit, default and reason.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The settings of a running relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// What the STUN/TURN server itself is told. Its listeners are filled in from what was bound.
    pub core: relay_core::Config,
    /// The addresses to listen on. A wildcard address stands for every address that the machine has
    /// of its family, but link-local ones, so that answers leave from where the client sent to.
    /// Port 0: any free port, the same for all of them.
    pub listen: Vec<SocketAddr>,
    /// What the outside calls this machine, where that isn't the address bound (a cloud, a NAT):
    /// one per family at most. Clients are told this address; those of loopback listeners aren't.
    pub public_ip: Vec<IpAddr>,
    /// The ports of relayed transport addresses. The default is that of RFC 8656 §7.2.
    pub port_range: RangeInclusive<u16>,
    /// How many worker threads share the clients, 1 to [`Self::WORKERS_MAX`]. Best one for each
    /// CPU.
    pub workers: usize,
    /// Limits that rarely need another value.
    pub limits: Limits,
}

impl RelayConfig {
    /// The most workers: what [`relay_core::RelayedPorts`] can tell apart.
    pub const WORKERS_MAX: usize = relay_core::RelayedPorts::WORKERS_MAX;
}

impl Default for RelayConfig {
    /// Loopback only, as many workers as there are CPUs, no credentials: every Allocate is refused.
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            core: relay_core::Config::default(),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 3478))],
            public_ip: Vec::new(),
            port_range: 49_152..=65_535,
            workers: cpus.min(Self::WORKERS_MAX),
            limits: Limits::default(),
        }
    }
}

/// The shell's limits; each is for one worker unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most datagrams received before they are handled and the outcome is sent: 64. Longer
    /// batches save system calls and cost latency and cache.
    pub batch_datagrams: usize,
    /// The most datagrams one socket gives in its turn, at most `batch_datagrams`: 32. Then it is
    /// the others' turn: one allocation at full rate can't starve the rest.
    pub socket_datagrams: usize,
    /// The most sockets served between two looks at what else is ready: 64.
    pub turn_sockets: usize,
    /// The ports kept open in advance for each relay address: 32; fewer if all workers together
    /// would hold more than a quarter of the port range. Used up, the next Allocate waits for a
    /// port to be opened.
    pub stock_ports: usize,
    /// How long a closed relay port rests before it is used again, by any worker: 2 minutes, so
    /// that a late packet for an old allocation can't reach a new one. A port range in full use
    /// cuts it short.
    pub port_rest: Duration,
    /// How long to wait after a port could not be opened before trying again: 1 second, or until
    /// another one closes.
    pub port_retry: Duration,
    /// The most batches of other workers' packets that wait for this worker: 64. Beyond it they are
    /// dropped and counted.
    pub handover_batches: usize,
    /// The most of those batches taken in one turn: 8. Then it is the sockets' turn.
    pub handover_turn_batches: usize,
    /// The receive buffer asked for each listening socket: 8 MiB. It takes what comes while the
    /// worker does other things.
    pub listener_receive_bytes: usize,
    /// The send buffer asked for each listening socket: 8 MiB. A batch for many clients leaves by
    /// it at once.
    pub listener_send_bytes: usize,
    /// The receive buffer asked for each relay port: 1 MiB, of which the kernel takes only what is
    /// in use.
    pub port_receive_bytes: usize,
    /// How old the counters that others read may be: 100 ms.
    pub counters_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_datagrams: 64,
            socket_datagrams: 32,
            turn_sockets: 64,
            stock_ports: 32,
            port_rest: Duration::from_secs(120),
            port_retry: Duration::from_secs(1),
            handover_batches: 64,
            handover_turn_batches: 8,
            listener_receive_bytes: 8 << 20,
            listener_send_bytes: 8 << 20,
            port_receive_bytes: 1 << 20,
            counters_age: Duration::from_millis(100),
        }
    }
}

impl Limits {
    /// The same with nothing at 0 that would bring work to a halt.
    pub(crate) fn workable(self) -> Self {
        let batch_datagrams = self.batch_datagrams.max(1);
        Self {
            batch_datagrams,
            socket_datagrams: self.socket_datagrams.clamp(1, batch_datagrams),
            stock_ports: self.stock_ports.max(1),
            handover_batches: self.handover_batches.max(1),
            handover_turn_batches: self.handover_turn_batches.max(1),
            ..self
        }
    }
}
