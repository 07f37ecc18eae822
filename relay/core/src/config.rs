//! What an operator can set, and every limit with its name, unit, default and reason.

use crate::PeerPolicy;
use heliograph_base::Secret;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a permission lasts after the request that installed or refreshed it. RFC 8656 §9.
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// How long a channel lasts after the request that bound or refreshed it. RFC 8656 §12.
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

/// How long the second address of a pair is kept for the Allocate that brings its token. RFC 8656
/// §7.2: "at least 30 seconds".
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// How long a connection with a peer waits for its ConnectionBind. RFC 6062 §5.2.
pub const CONNECTION_BIND_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a relay; the same for all its workers.
///
/// The default has no credentials, so that it answers Binding and refuses every Allocate.
#[derive(Clone, Debug)]
pub struct Config {
    /// The REALM that clients are challenged with. 1 to [`Self::REALM_BYTES_MAX`] bytes.
    pub realm: String,
    /// Secrets of time-limited credentials, newest first; each is tried.
    pub secrets: Vec<Secret>,
    /// Users with fixed passwords, for tests and small set-ups.
    pub users: Vec<StaticUser>,
    /// The addresses that clients send to; a [`ListenerId`](crate::ListenerId) is a place in this
    /// list.
    pub listeners: Vec<Listener>,
    /// Which addresses clients may exchange packets with.
    pub policy: PeerPolicy,
    /// Further addresses that are never a peer, beside the listeners: what the listeners are called
    /// outside a NAT, the admin port.
    pub never_peers: Vec<SocketAddr>,
    /// Servers that take the allocations of this one's clients: who asks for an allocation and has
    /// shown who it is gets 300 and one of them, of the client's address family. Empty, or none of
    /// that family: the relay serves. They must know the same credentials, and the same certificate
    /// if clients come by TLS. RFC 8489 §10.
    pub alternate_servers: Vec<SocketAddr>,
    /// The name in the certificate of the alternate servers, if it isn't this server's own: clients
    /// that come by TLS and use MESSAGE-INTEGRITY-SHA256 are told. A DNS name. RFC 8489 §10.
    pub alternate_domain: Option<String>,
    /// The SOFTWARE in answers to clients that have shown who they are; empty: none. The default
    /// tells no version. At most [`Self::SOFTWARE_BYTES_MAX`] bytes. RFC 8489 §14.14, §16.1.2.
    pub software: String,
    /// Which peer ports below 1024 clients may exchange packets with; all others there are denied,
    /// since services live there (DNS, NTP, SNMP) that answer more than they are asked, and a
    /// WebRTC peer doesn't. Default: 443, where media servers listen to pass firewalls.
    pub peer_ports_low: Vec<u16>,
    /// Whether every client is told of ICMP errors about its peers, RFC 8656 §11.5. Default: only
    /// those whose Allocate shows a client of RFC 8656 (by DONT-FRAGMENT, ADDITIONAL-ADDRESS-FAMILY
    /// or PASSWORD-ALGORITHM), since some older clients give up their allocation when a Data
    /// indication has no DATA.
    pub icmp_to_all: bool,
    /// Whether a client may take its allocation along to another address (RFC 8016); else 405. By
    /// UDP only. The default is yes: who moves shows a ticket, the password of the same user, and
    /// that it gets what is sent to its new address.
    pub mobility: bool,
    /// The most clients of one worker that another one serves, because they moved: about 64 bytes
    /// each. Beyond it, who moves and comes to another worker gets 508, and allocates anew.
    pub redirects_max: usize,
    /// The lifetime of an allocation whose client asks for none or for less. RFC 8656 §3.2: 10
    /// minutes.
    pub lifetime_default: Duration,
    /// The longest lifetime an allocation gets, however much a client asks for. RFC 8656 §7.2: 1
    /// hour.
    pub lifetime_max: Duration,
    /// How long a nonce is good, and how long its key lasts. Shorter bounds the replay of a
    /// request, longer saves clients a round trip. At most [`Self::NONCE_LIFETIME_MAX`].
    pub nonce_lifetime: Duration,
    /// The most allocations of all workers together; beyond it 508. Bounds memory.
    pub allocations_max: usize,
    /// The most allocations of one holder of time-limited credentials; beyond it 486. A browser in
    /// a mesh makes a few per peer connection.
    pub allocations_per_holder_max: usize,
    /// The most allocations of one static user; beyond it 486. Many clients share such a user.
    pub allocations_per_user_max: usize,
    /// The most allocations of one room, by the seat in the username; beyond it 486.
    /// A full room of 64 peers that each relay to all others needs no more.
    pub allocations_per_room_max: usize,
    /// The most allocations of one source address (IPv4 /32, IPv6 /64); beyond it 486. Many clients
    /// share the address of a carrier's NAT.
    pub allocations_per_source_max: usize,
    /// The last part of `allocations_max`, in percent, that only users below a fair share get:
    /// `allocations_max` divided by the users there are. Others get 486. So one user can't take the
    /// last port. 0 to 100.
    pub allocations_headroom_percent: usize,
    /// The most relayed transport addresses of all workers together that are kept for a later
    /// Allocate (EVEN-PORT with the R bit, for RTP and RTCP side by side); beyond it 508. Bounds
    /// memory and ports that nobody uses.
    pub reservations_max: usize,
    /// The most of them of one user or holder of time-limited credentials; beyond it 508.
    pub reservations_per_holder_max: usize,
    /// The most peer addresses a minute that one holder of time-limited credentials gets new
    /// permissions for at one worker, all at once if need be; beyond it 508. 0: no limit. Bounds
    /// scans of other networks through the relay; ICE needs a few for each peer.
    pub peers_per_minute_max: u32,
    /// Packets a second, both ways together, of one holder of time-limited credentials at one
    /// worker; beyond it they are dropped, after a burst of a second. 0: no limit. Leaves room for
    /// the others. Static users aren't metered: many clients share one.
    pub holder_packets_per_s: u32,
    /// Bytes of payload a second, as for packets. 0: no limit; else 65,536 or more.
    pub holder_bytes_per_s: u64,
    /// The most revoked seats, peers, rooms and users that are remembered, about 24 bytes each;
    /// beyond it those are forgotten whose credentials expire first.
    pub revocations_max: usize,
    /// How long a revoked seat is refused: as long as credentials are good that are minted for one.
    pub revocation_lifetime: Duration,
    /// The most seats of which a worker remembers what they were refused, about 150 bytes each;
    /// beyond it those are forgotten that were refused nothing for longest.
    pub refused_seats_max: usize,
    /// The same for seats that somebody named with a wrong password: anybody can, so they have a
    /// table of their own.
    pub unproven_seats_max: usize,
    /// The most permissions of one allocation; beyond it 508. Bounds memory and the scan for each
    /// packet.
    pub permissions_max: usize,
    /// The most connections with peers of one TCP allocation, made or in the making; beyond it 508.
    /// Bounds file descriptors: each takes one, and one more for the client's side.
    pub tcp_connections_max: usize,
    /// The most channels of one allocation; beyond it 508. Bounds memory and the scan for each
    /// packet.
    pub channels_max: usize,
    /// Answers a second to unauthenticated requests (Binding included) that one source prefix (IPv4
    /// /32, IPv6 /64) gets from one worker; requests beyond it are dropped. 0: no limit. Bounds
    /// what a forged source address can be hit with, and leaves room for the many clients behind
    /// one NAT.
    pub unauthenticated_rate: u32,
    /// How many such answers a quiet prefix gets at once.
    pub unauthenticated_burst: u32,
    /// The same for an IPv6 /48, which one customer may have whole, with its 65,536 /64. 0: no
    /// limit.
    pub unauthenticated_site_rate: u32,
    /// How many such answers a quiet /48 gets at once.
    pub unauthenticated_site_burst: u32,
    /// How many buckets count them, 8 bytes each. Prefixes that fall into the same bucket share it.
    pub unauthenticated_buckets: usize,
}

impl Config {
    /// The longest realm: RFC 8489 §14.9 allows 128 characters.
    pub const REALM_BYTES_MAX: usize = 128;

    /// The longest software text: RFC 8489 §14.14 wants fewer than 128 characters.
    pub const SOFTWARE_BYTES_MAX: usize = 127;

    /// The longest lifetime of a nonce: it says when it was made modulo 2^16 seconds, and nonces of
    /// two keys must be told apart.
    pub const NONCE_LIFETIME_MAX: Duration = Duration::from_secs(9 * 3600);

    /// These settings with another rate of answers to unauthenticated requests, and the other
    /// limits of these in proportion: the bursts are twice, a site gets five times as much. 0: no
    /// limit.
    #[must_use]
    pub fn with_unauthenticated_rate(self, rate: u32) -> Self {
        let site_rate = rate.saturating_mul(5);
        Self {
            unauthenticated_rate: rate,
            unauthenticated_burst: rate.saturating_mul(2),
            unauthenticated_site_rate: site_rate,
            unauthenticated_site_burst: site_rate.saturating_mul(2),
            ..self
        }
    }

    /// Looks for values that no relay can work with.
    ///
    /// # Errors
    /// The first wrong value; its message names the field.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if self.realm.is_empty() || self.realm.len() > Self::REALM_BYTES_MAX {
            return Err(InvalidConfig::Realm);
        }
        if self.lifetime_default.as_secs() == 0 || self.lifetime_default > self.lifetime_max {
            return Err(InvalidConfig::Lifetime);
        }
        if u32::try_from(self.lifetime_max.as_secs()).is_err() {
            return Err(InvalidConfig::Lifetime);
        }
        if self.nonce_lifetime.as_secs() == 0 || self.nonce_lifetime > Self::NONCE_LIFETIME_MAX {
            return Err(InvalidConfig::NonceLifetime);
        }
        let is_own = |address: &SocketAddr| {
            self.listeners
                .iter()
                .any(|listener| [listener.local, listener.advertised].contains(address))
        };
        if self.alternate_servers.iter().any(|server| server.port() == 0 || is_own(server)) {
            return Err(InvalidConfig::AlternateServer);
        }
        if self.alternate_domain.as_deref().is_some_and(|name| !is_dns_name(name)) {
            return Err(InvalidConfig::AlternateDomain);
        }
        if self.software.len() > Self::SOFTWARE_BYTES_MAX {
            return Err(InvalidConfig::Software);
        }
        if self.allocations_headroom_percent > 100 {
            return Err(InvalidConfig::Headroom);
        }
        if (1..65_536).contains(&self.holder_bytes_per_s) {
            return Err(InvalidConfig::HolderBytes);
        }
        let of_host = (self.unauthenticated_rate, self.unauthenticated_burst);
        let of_site = (self.unauthenticated_site_rate, self.unauthenticated_site_burst);
        let lets_nothing_through = |(rate, burst): (u32, u32)| {
            rate > 0 && (burst == 0 || self.unauthenticated_buckets == 0)
        };
        if [of_host, of_site].into_iter().any(lets_nothing_through) {
            return Err(InvalidConfig::Unauthenticated);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            realm: "heliograph".to_owned(),
            secrets: Vec::new(),
            users: Vec::new(),
            listeners: Vec::new(),
            policy: PeerPolicy::default(),
            never_peers: Vec::new(),
            alternate_servers: Vec::new(),
            alternate_domain: None,
            software: "Heliograph".to_owned(),
            peer_ports_low: vec![443],
            icmp_to_all: false,
            mobility: true,
            redirects_max: 4096,
            lifetime_default: Duration::from_secs(600),
            lifetime_max: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(600),
            allocations_max: 50_000,
            allocations_per_holder_max: 256,
            allocations_per_user_max: 10_000,
            allocations_per_room_max: 4096,
            allocations_per_source_max: 10_000,
            allocations_headroom_percent: 10,
            reservations_max: 512,
            reservations_per_holder_max: 64,
            peers_per_minute_max: 600,
            holder_packets_per_s: 50_000,
            holder_bytes_per_s: 25_000_000,
            revocations_max: 16_384,
            revocation_lifetime: Duration::from_secs(24 * 3600),
            refused_seats_max: 1024,
            unproven_seats_max: 256,
            permissions_max: 64,
            tcp_connections_max: 64,
            channels_max: 64,
            unauthenticated_rate: 200,
            unauthenticated_burst: 400,
            unauthenticated_site_rate: 1000,
            unauthenticated_site_burst: 2000,
            unauthenticated_buckets: 16_384,
        }
    }
}

/// Whether it is written as a DNS name is: labels of letters, digits and hyphens. RFC 1123 §2.1.
#[must_use]
pub fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A value in a [`Config`] that no relay can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The realm is empty or too long.
    #[error("the realm must have 1 to {} bytes", Config::REALM_BYTES_MAX)]
    Realm,
    /// The lifetimes contradict each other.
    #[error("the lifetimes must be 1 second or more, and lifetime_default at most lifetime_max")]
    Lifetime,
    /// The lifetime of nonces is out of range.
    #[error("the lifetime of nonces must be 1 second to 9 hours")]
    NonceLifetime,
    /// An alternate server without a port, or this one.
    #[error("an alternate server must have a port and be another server than this one")]
    AlternateServer,
    /// No name that a certificate can have.
    #[error("alternate_domain must be a DNS name")]
    AlternateDomain,
    /// The software text is too long.
    #[error("software must have at most {} bytes", Config::SOFTWARE_BYTES_MAX)]
    Software,
    /// More than all of it.
    #[error("allocations_headroom_percent must be 0 to 100")]
    Headroom,
    /// Less than one packet a second.
    #[error("holder_bytes_per_s must be 0 or at least 65536")]
    HolderBytes,
    /// A limit that is on but lets nothing through.
    #[error("unauthenticated_burst, _site_burst and _buckets must be above 0")]
    Unauthenticated,
}

/// A user with a fixed password.
#[derive(Clone)]
pub struct StaticUser {
    /// The USERNAME.
    pub name: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for StaticUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A listening address.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// The address that the socket is bound to; never a wildcard.
    pub local: SocketAddr,
    /// What clients are told it is called: another address if it stands behind a NAT.
    pub advertised: SocketAddr,
    /// What clients reach it by. One address can have a listener for each.
    pub transport: Transport,
}

/// What a client's messages come by. RFC 8656 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram is a message.
    Udp,
    /// The shell cuts messages out of the stream: see
    /// [`stream_message_bytes`](crate::wire::stream_message_bytes).
    Tcp,
    /// The same, over TLS.
    Tls,
}

impl Transport {
    /// Whether messages are cut out of a stream of bytes.
    #[must_use]
    pub const fn is_stream(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}
