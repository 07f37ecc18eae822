//! The limits of the signaling server: each with its default, unit and reason.

use crate::{AskRelay, AuthConfig, Folder, HookConfig, Network, Origins};
use heliograph_base::Secret;
use signal_core::protocol::IceServer;
use signal_core::{Departure, MatchLimits, SearchLimits};
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
    /// How many resumes may wait for one shard beside the requests of sessions, which go first; who
    /// finds no room is refused with `busy` and told when to come back.
    ///
    /// 512: a shard does that in a few dozen milliseconds.
    pub resume_queue_max: usize,
    /// How many joins may wait for one shard, behind the resumes; likewise.
    ///
    /// 512.
    pub join_queue_max: usize,
    /// What tickets must keep to.
    pub matching: MatchLimits,
    /// What who looks for public rooms must keep to.
    pub search: SearchLimits,
    /// How many requests about tickets may wait for the task that owns them; who finds no room is
    /// refused with `busy`.
    ///
    /// 1,024: as for a shard.
    pub ticket_queue_max: usize,
    /// How many orders of an operator may wait for one shard; with more, who orders waits. They go
    /// first.
    ///
    /// 16: operators are few.
    pub order_queue_max: usize,
    /// Who is let in at all.
    pub auth: AuthConfig,
    /// Pages of which origins are served.
    pub origins: Origins,
    /// How many get in, and how fast.
    pub admission: AdmissionLimits,
    /// The proxies that are believed when they say whom a request comes from
    /// (`X-Forwarded-For`).
    pub trusted_proxies: Vec<Network>,
    /// How many clients a second are told to go elsewhere when the server drains.
    ///
    /// 500: where they go, each costs a resume or a join.
    pub goaway_per_s: u32,
    /// For how long a close frame is tried to be delivered; then the connection is cut.
    ///
    /// 5 s: a client that is there takes it in one round trip, and one that doesn't read holds no
    /// memory for longer.
    pub close_timeout: Duration,
    /// A folder whose files are served in place of the page.
    pub page: Option<Folder>,
    /// Which STUN and TURN servers clients are told of.
    pub ice: IceConfig,
    /// Who else wants to know when somebody's stay in a room ends.
    pub on_departure: Option<OnDeparture>,
    /// Who knows what a relay knows of members, for the diagnosis of their links.
    pub ask_relay: Option<AskRelay>,
    /// For how long a relay may take to say so; then the diagnosis does without.
    ///
    /// 1 s: it takes a millisecond, and who asks is waiting.
    pub relay_answer_timeout: Duration,
    /// Which service of the operator's own is told what happens in rooms.
    pub hook: Option<Box<HookConfig>>,
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
            resume_queue_max: 512,
            join_queue_max: 512,
            auth: AuthConfig::default(),
            origins: Origins::default(),
            order_queue_max: 16,
            matching: MatchLimits::default(),
            search: SearchLimits::default(),
            ticket_queue_max: 1024,
            admission: AdmissionLimits::default(),
            trusted_proxies: Vec::new(),
            goaway_per_s: 500,
            close_timeout: Duration::from_secs(5),
            page: None,
            ice: IceConfig::default(),
            on_departure: None,
            ask_relay: None,
            relay_answer_timeout: Duration::from_secs(1),
            hook: None,
        }
    }
}

/// Limits for each address (an IPv4 address or an IPv6 /64), and for all of them. A rate of 0 is no
/// limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// The most connections of one address: WebSockets, event streams and polls. 0: no limit.
    ///
    /// 1,000: an office behind one NAT.
    pub address_connections_max: usize,
    /// The most tickets of one address that wait: those of plain HTTP need no connection. 0: no
    /// limit.
    ///
    /// 256: an office that plays, and one address doesn't fill up the server.
    pub address_tickets_max: usize,
    /// Joins a second of one address, after a burst.
    ///
    /// 10, after 200: an office whose server was restarted.
    pub address_joins_per_s: u64,
    /// See `address_joins_per_s`.
    pub address_joins_burst: u64,
    /// Posts and polls a second of one address, after a burst.
    ///
    /// 100, after 400.
    pub address_requests_per_s: u64,
    /// See `address_requests_per_s`.
    pub address_requests_burst: u64,
    /// Joins a second of all, after a burst.
    ///
    /// 2,000, after 10,000: half of what two cores can do, so that sessions go on.
    pub joins_per_s: u64,
    /// See `joins_per_s`.
    pub joins_burst: u64,
    /// Resumes a second of all, after a burst.
    ///
    /// 4,000, after 20,000: they cost less than joins, and what has begun goes first.
    pub resumes_per_s: u64,
    /// See `resumes_per_s`.
    pub resumes_burst: u64,
    /// The most sessions of one subject: of who has tokens with one `sub`, or of one token without.
    /// A session has one connection at a time, and lasts through a short time without. 0: no limit.
    ///
    /// 100: a person has a dozen tabs and devices; a token without `sub` may be that of a class.
    pub subject_sessions_max: usize,
    /// Joins a second of one subject, after a burst.
    ///
    /// 5, after 100: a hundred sessions whose server was restarted.
    pub subject_joins_per_s: u64,
    /// See `subject_joins_per_s`.
    pub subject_joins_burst: u64,
    /// How many subjects are counted at once, about 100 bytes each. Beyond it new ones are refused
    /// until others are idle.
    ///
    /// 131,072: as many as there are places for members.
    pub subjects_max: usize,
    /// How many addresses are counted at once, about 100 bytes each. Beyond it new ones are refused
    /// until others are idle.
    ///
    /// 131,072: as many as there are places for members.
    pub addresses_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            address_connections_max: 1000,
            address_tickets_max: 256,
            address_joins_per_s: 10,
            address_joins_burst: 200,
            address_requests_per_s: 100,
            address_requests_burst: 400,
            joins_per_s: 2000,
            joins_burst: 10_000,
            resumes_per_s: 4000,
            resumes_burst: 20_000,
            subject_sessions_max: 100,
            subject_joins_per_s: 5,
            subject_joins_burst: 100,
            subjects_max: 1 << 17,
            addresses_max: 1 << 17,
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
    /// Further servers, of others, that clients are told of as they stand.
    pub others: Vec<IceServer>,
}

impl Default for IceConfig {
    fn default() -> Self {
        Self {
            secret: None,
            ttl: Duration::from_secs(12 * 60 * 60),
            turn: Vec::new(),
            host: None,
            others: Vec::new(),
        }
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
    /// For how long a TLS handshake may take, a PROXY header before it included; without TLS the
    /// header alone.
    ///
    /// 10 s: ample for the slowest line.
    pub handshake_timeout: Duration,
    /// The largest PROXY header, in bytes; a larger one closes the connection.
    ///
    /// 1,024: all that is in use stays under 536, so that it fits into one packet on any line.
    pub proxy_header_bytes_max: usize,
    /// How many connections there may be, WebSockets and requests over HTTP/2 included; the next
    /// is answered with 503 and closed.
    ///
    /// 100,000: bounds memory, the kernel's included. The process' file descriptors may be fewer.
    pub connections_max: usize,
    /// How long a client may take for a request's head, the wait for its next request included;
    /// then it is closed. Over HTTP/2: how long nothing may be under way; up to twice that if
    /// something was.
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
    /// For how long a client may take nothing of what it is sent; then it is cut. A little more
    /// than 30 s by TCP itself, up to twice that for answers over HTTP/2.
    ///
    /// 30 s: outlasts a change of networks, and whoever doesn't read holds no memory for ever.
    pub untaken_timeout: Duration,
    /// What holds for connections that speak HTTP/2.
    pub http2: Http2Limits,
    /// For how long requests under way may take to finish when the server ends; then they are cut.
    ///
    /// 5 s: all of them are short.
    pub shutdown_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            proxy_header_bytes_max: 1024,
            connections_max: 100_000,
            header_read_timeout: Duration::from_secs(10),
            header_bytes_max: 16 << 10,
            headers_max: 64,
            untaken_timeout: Duration::from_secs(30),
            http2: Http2Limits::default(),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// What an HTTP/2 connection must keep to, besides what holds for all.
#[derive(Clone, Debug)]
pub struct Http2Limits {
    /// How many requests may be under way at once, WebSockets included; each takes a place among
    /// [`HttpLimits::connections_max`] too. A client keeps to it and lets the next one wait.
    ///
    /// 100: the least that RFC 9113 §6.5.2 recommends. The tabs of a browser share a connection.
    pub streams_max: u32,
    /// How much of one request may wait to be read, in bytes.
    ///
    /// 64 KiB: the largest frame of a session fits, and its WebSocket is read at once.
    pub stream_window_bytes: u32,
    /// How much of all requests together may wait to be read, in bytes.
    ///
    /// 256 KiB: some that wait don't hold up the others.
    pub connection_window_bytes: u32,
    /// How much of one answer may wait to be sent, in bytes, beyond a frame.
    ///
    /// 64 KiB: ample, since answers come in small pieces.
    pub send_buffer_bytes: usize,
    /// How many requests that the client took back at once may wait to be noticed; one that takes
    /// back more is cut (CVE-2023-44487).
    ///
    /// 20: a page that is left takes back a few.
    pub resets_pending_max: usize,
    /// How many requests may be reset because of the client's errors; then it is cut
    /// (CVE-2025-8671).
    ///
    /// 100: a client without errors has none.
    pub error_resets_max: usize,
    /// After how long the client is asked for a sign of life.
    ///
    /// 20 s: NATs and proxies forget silent connections after 30 s and more.
    pub ping_interval: Duration,
    /// How long it may take to answer; then it is cut.
    ///
    /// 10 s: ample for the slowest line.
    pub ping_timeout: Duration,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams_max: 100,
            stream_window_bytes: 64 << 10,
            connection_window_bytes: 256 << 10,
            send_buffer_bytes: 64 << 10,
            resets_pending_max: 20,
            error_resets_max: 100,
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}
