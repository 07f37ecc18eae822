//! The limits of the signaling server: each with its default, unit and reason.

use heliograph_base::Secret;
use signal_core::Departure;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How the signaling server runs.
#[derive(Clone, Debug)]
pub struct SignalConfig {
    /// The limits of rooms and sessions. `rooms_max` and `members_max` are here those of the whole
    /// server: each shard takes an equal part.
    pub hub: signal_core::Config,
    /// How many tasks own rooms; a room belongs to one of them by its id.
    ///
    /// One per core: a shard never waits for a client, so more would only wait for each other.
    pub shards: usize,
    /// How many requests may wait for one shard; sessions that have more stop reading until there
    /// is room again.
    ///
    /// 1,024: a shard does that in a few milliseconds.
    pub shard_queue_max: usize,
    /// For how long a close frame is tried to be delivered; then the connection is cut.
    ///
    /// 5 s: a client that is there takes it in one round trip, and one that doesn't read holds no
    /// memory for longer.
    pub close_timeout: Duration,
    /// Which STUN and TURN servers clients are told of.
    pub ice: IceConfig,
    /// Who else wants to know when somebody's stay in a room ends.
    pub on_departure: Option<OnDeparture>,
}

/// Told of every [`Departure`] by the shard of its room. Must not wait: the room waits for it.
#[derive(Clone)]
pub struct OnDeparture(pub Arc<dyn Fn(&Departure) + Send + Sync>);

impl fmt::Debug for OnDeparture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDeparture").finish_non_exhaustive()
    }
}

impl Default for SignalConfig {
    fn default() -> Self {
        Self {
            hub: signal_core::Config::default(),
            shards: thread::available_parallelism().map_or(1, usize::from),
            shard_queue_max: 1024,
            close_timeout: Duration::from_secs(5),
            ice: IceConfig::default(),
            on_departure: None,
        }
    }
}

/// Which STUN and TURN servers clients are told of.
#[derive(Clone, Debug)]
pub struct IceConfig {
    /// The secret that the relay checks credentials with; without it clients are told of STUN only.
    pub secret: Option<Secret>,
    /// For how long a seat's credentials can start allocations.
    ///
    /// 12 h: longer than most sessions; whoever finds them later finds nothing.
    pub ttl: Duration,
    /// The relay's listeners; none if there is no relay.
    pub turn: Vec<TurnListener>,
    /// The name by which clients reach TLS listeners; without it they are told of none, since
    /// certificates are for names.
    pub host: Option<String>,
}

impl Default for IceConfig {
    fn default() -> Self {
        Self { secret: None, ttl: Duration::from_secs(12 * 60 * 60), turn: Vec::new(), host: None }
    }
}

/// What a listener of the relay is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

/// A listener of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnListener {
    /// What it is reached by.
    pub transport: TurnTransport,
    /// Where it is bound; may be a wildcard such as `0.0.0.0`.
    pub bound: SocketAddr,
    /// Where it is reached from outside, if the operator said so.
    pub public: Option<SocketAddr>,
}

/// What the HTTP server must keep to.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// For how long a TLS handshake may take: 10 s, ample for the slowest line.
    pub handshake_timeout: Duration,
    /// How many connections there may be, WebSockets included; the next is answered with 503 and
    /// closed.
    ///
    /// 100,000: bounds memory, the kernel's included. The process' file descriptors may be fewer.
    pub connections_max: usize,
    /// How long a client may take for a request's head, the wait for its next request included;
    /// then it is closed.
    ///
    /// 10 s: ample for the slowest line, and bounds what half-open requests cost.
    pub header_read_timeout: Duration,
    /// The largest head of a request, in bytes; a larger one is answered with 431.
    ///
    /// 16 KiB: browsers with full cookie jars stay under it.
    pub header_bytes_max: usize,
    /// The most headers of a request; more are answered with 431.
    ///
    /// 64: browsers send 20.
    pub headers_max: usize,
    /// For how long requests under way may take to finish when the server ends; then they are cut.
    ///
    /// 5 s: all of them are short.
    pub shutdown_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            connections_max: 100_000,
            header_read_timeout: Duration::from_secs(10),
            header_bytes_max: 16 << 10,
            headers_max: 64,
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}
