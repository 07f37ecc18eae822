//! What an operator can set, and every limit with its name, unit, default and reason.

use crate::streams::HttpsStream;
use rustls::ServerConfig;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// The settings of a running relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// What the STUN/TURN server itself is told. Its listeners are filled in from what was bound.
    pub core: relay_core::Config,
    /// The addresses to listen on by UDP. A wildcard address stands for every address that the
    /// machine has of its family, but link-local ones, so that answers leave from where the client
    /// sent to. Port 0: any free port, the same for all of them.
    pub listen: Vec<SocketAddr>,
    /// Where clients come by TCP and TLS.
    pub streams: StreamConfig,
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
            streams: StreamConfig::default(),
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
    /// The most datagrams, or trains of them, received before they are handled: 64. Longer batches
    /// save system calls and cost latency and cache.
    pub batch_datagrams: usize,
    /// The most datagrams handled before the outcome is sent: 256. A batch of trains is more.
    pub outcome_datagrams: usize,
    /// Whether bursts of one client or peer, trains, are received and sent in one piece where
    /// kernel and network card can (UDP_GRO, UDP_SEGMENT): yes.
    pub offload: bool,
    /// The most datagrams or trains one socket gives in its turn, at most `batch_datagrams`: 32.
    /// Then it is the others' turn: one allocation at full rate can't starve the rest.
    pub socket_datagrams: usize,
    /// How long a worker lets datagrams gather when they come so fast that most of its work is
    /// waking up, and not yet so fast that others wait already: 200 us. So much longer may a packet
    /// take then. 0: never.
    pub pause: Duration,
    /// The most sockets served between two looks at what else is ready: 64.
    pub turn_sockets: usize,
    /// The ports kept open in advance for each relay address: 32; fewer if all workers together
    /// would hold more than a quarter of the port range. Used up, the next Allocate waits for a
    /// port to be opened.
    pub stock_ports: usize,
    /// How many pairs of ports, an even number and the next, are among them for clients that ask
    /// for RTP and RTCP side by side: 2. A range in full use may have none; then such an Allocate
    /// fails.
    pub stock_pairs: usize,
    /// The same for ports of TCP allocations, if there are stream listeners: 4; fewer in a narrow
    /// port range.
    pub tcp_stock_ports: usize,
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
    /// The most orders, such as revocations, that wait for a worker: 4,096. Beyond it they are
    /// refused and counted.
    pub orders: usize,
    /// How old the counters that others read may be: 100 ms.
    pub counters_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_datagrams: 64,
            outcome_datagrams: 256,
            offload: true,
            socket_datagrams: 32,
            pause: Duration::from_micros(200),
            turn_sockets: 64,
            stock_ports: 32,
            stock_pairs: 2,
            tcp_stock_ports: 4,
            port_rest: Duration::from_secs(120),
            port_retry: Duration::from_secs(1),
            handover_batches: 64,
            handover_turn_batches: 8,
            listener_receive_bytes: 8 << 20,
            listener_send_bytes: 8 << 20,
            port_receive_bytes: 1 << 20,
            orders: 4096,
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
            outcome_datagrams: self.outcome_datagrams.max(1),
            socket_datagrams: self.socket_datagrams.clamp(1, batch_datagrams),
            stock_ports: self.stock_ports.max(1),
            handover_batches: self.handover_batches.max(1),
            handover_turn_batches: self.handover_turn_batches.max(1),
            orders: self.orders.max(1),
            ..self
        }
    }
}

/// Where clients come by TCP and TLS, and what they must keep to.
#[derive(Clone, Debug, Default)]
pub struct StreamConfig {
    /// The addresses to listen on by TCP; wildcards and port 0 as in [`RelayConfig::listen`].
    pub tcp: Vec<SocketAddr>,
    /// The addresses to listen on by TLS.
    pub tls: Vec<SocketAddr>,
    /// The certificate and key of the TLS listeners, which must have one. Its ALPN protocols are
    /// filled in.
    pub server: Option<Arc<ServerConfig>>,
    /// Who gets the HTTPS connections that come to a TLS listener.
    pub https: Option<HttpsShare>,
    /// Limits that rarely need another value.
    pub limits: StreamLimits,
}

/// TLS listeners that serve HTTPS too: for networks that let out nothing but port 443.
///
/// A connection is told apart by its ALPN, and without one by its first byte.
#[derive(Clone)]
pub struct HttpsShare {
    /// Which of [`StreamConfig::tls`].
    pub addresses: Vec<SocketAddr>,
    /// Takes a connection whose client wants HTTPS. Must not wait.
    pub take: Arc<dyn Fn(HttpsStream) + Send + Sync>,
}

impl fmt::Debug for HttpsShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsShare").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// The limits of TCP and TLS clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// The most connections: 16,384; the next is closed at once. Bounds memory and
    /// file descriptors.
    pub connections_max: usize,
    /// The most connections without an allocation: 2,048. It bounds what whoever has no
    /// credentials can take.
    pub half_open_max: usize,
    /// The most of them from one source (IPv4 /32, IPv6 /64): 64. Leaves room for many clients
    /// behind one NAT that come at once.
    pub half_open_per_source_max: usize,
    /// For how long a TLS handshake may take: 10 s, ample for the slowest line.
    pub handshake_timeout: Duration,
    /// For how long the first message may take, counted from the connection or the handshake: 10 s.
    pub first_message_timeout: Duration,
    /// For how long there may be no allocation: 30 s. To make one takes two round trips.
    pub unallocated_timeout: Duration,
    /// For how long a client with an allocation may send nothing: 1 hour and a minute, more than
    /// the longest lifetime; it must refresh sooner. And for how long nothing may go between a
    /// client and a TCP peer.
    pub idle_timeout: Duration,
    /// For how long half a message may wait for more: 10 s, and longer by what came of it at
    /// `progress_bytes_s`.
    pub half_message_timeout: Duration,
    /// The least rate at which the rest of a message must come, in bytes a second: 1,024, less than
    /// any line on which a call is possible.
    pub progress_bytes_s: usize,
    /// For how long a client may take not a single byte of what waits for it: 60 s.
    pub stall_timeout: Duration,
    /// For how long the end of a connection is tried to be told to the client: 2 s.
    pub goodbye_timeout: Duration,
    /// The most bytes of data that wait for one client: 128 KiB, a second of video. Beyond it the
    /// oldest are dropped and counted: a slow reader gets fresh data, not a growing queue.
    pub data_bytes_max: usize,
    /// The most bytes of answers that wait for one client: 64 KiB, hundreds of them. They are never
    /// dropped: who asks on and on without reading is closed.
    pub answer_bytes_max: usize,
    /// The most unsent bytes asked of the kernel to hold for one client: 32 KiB. What waits there
    /// can't be dropped any more.
    pub unsent_bytes: usize,
    /// The most batches of messages that wait for one worker: 256. Clients that have more are not
    /// read from until there is room.
    pub arrivals: usize,
    /// The most of them that a worker takes in one turn: 64. Then it is the sockets' turn.
    pub arrivals_turn: usize,
    /// How many bytes are asked for in one read: 4 KiB. An idle client holds that much.
    pub read_bytes: usize,
    /// How many connections the kernel may finish before they are accepted: 4,096.
    pub backlog: u32,
    /// The most connections with peers of TCP allocations: 8,192. Beyond it Connect fails and
    /// those of peers are closed. With its client's each takes two file descriptors, and once
    /// joined two buffers of `splice_bytes`.
    pub peer_connections_max: usize,
    /// How long connecting to a peer may take: 30 s, the least that RFC 6062 §5.2 allows.
    pub connect_timeout: Duration,
    /// The buffer for each way between a client and a TCP peer: 16 KiB. No more is read until that
    /// is written, so that who reads slowly slows down who writes.
    pub splice_bytes: usize,
    /// How many connections of peers the kernel may finish before they are accepted, for each TCP
    /// relay port: 32.
    pub peer_backlog: i32,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            half_open_max: 2048,
            half_open_per_source_max: 64,
            handshake_timeout: Duration::from_secs(10),
            first_message_timeout: Duration::from_secs(10),
            unallocated_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(3660),
            half_message_timeout: Duration::from_secs(10),
            progress_bytes_s: 1024,
            stall_timeout: Duration::from_secs(60),
            goodbye_timeout: Duration::from_secs(2),
            data_bytes_max: 128 << 10,
            answer_bytes_max: 64 << 10,
            unsent_bytes: 32 << 10,
            arrivals: 256,
            arrivals_turn: 64,
            read_bytes: 4 << 10,
            backlog: 4096,
            peer_connections_max: 8192,
            connect_timeout: Duration::from_secs(30),
            splice_bytes: 16 << 10,
            peer_backlog: 32,
        }
    }
}

impl StreamLimits {
    /// The same with nothing at 0 that would bring work to a halt.
    pub(crate) fn workable(self) -> Self {
        Self {
            progress_bytes_s: self.progress_bytes_s.max(1),
            arrivals: self.arrivals.max(1),
            arrivals_turn: self.arrivals_turn.max(1),
            read_bytes: self.read_bytes.max(64),
            splice_bytes: self.splice_bytes.max(64),
            ..self
        }
    }
}
