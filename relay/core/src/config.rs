//! What an operator can set, and every limit with its name, unit, default and reason.

use crate::PeerPolicy;
use heliograph_base::Secret;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a permission lasts after the request that installed or refreshed it. RFC 8656 §9.
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// How long a channel lasts after the request that bound or refreshed it. RFC 8656 §12.
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);

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
    /// The lifetime of an allocation whose client asks for none or for less. RFC 8656 §3.2: 10
    /// minutes.
    pub lifetime_default: Duration,
    /// The longest lifetime an allocation gets, however much a client asks for. RFC 8656 §7.2: 1
    /// hour.
    pub lifetime_max: Duration,
    /// How long a nonce is good, and how long its key lasts. Shorter bounds the replay of a request,
    /// longer saves clients a round trip. At most [`Self::NONCE_LIFETIME_MAX`].
    pub nonce_lifetime: Duration,
    /// The most allocations of one worker; beyond it 508. Bounds memory.
    pub allocations_max: usize,
    /// The most allocations of one holder of time-limited credentials at one worker; beyond it 486.
    /// A browser in a mesh makes a few per peer connection.
    pub allocations_per_holder_max: usize,
    /// The most allocations of one static user at one worker; beyond it 486. Many clients share
    /// such a user.
    pub allocations_per_user_max: usize,
    /// The most permissions of one allocation; beyond it 508. Bounds memory and the scan for each
    /// packet.
    pub permissions_max: usize,
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
    /// How many buckets count them, 8 bytes each. Prefixes that fall into the same bucket share it.
    pub unauthenticated_buckets: usize,
}

impl Config {
    /// The longest realm: RFC 8489 §14.9 allows 128 characters.
    pub const REALM_BYTES_MAX: usize = 128;

    /// The longest lifetime of a nonce: it says when it was made modulo 2^16 seconds, and nonces of
    /// two keys must be told apart.
    pub const NONCE_LIFETIME_MAX: Duration = Duration::from_secs(9 * 3600);

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
        if self.unauthenticated_rate > 0
            && (self.unauthenticated_burst == 0 || self.unauthenticated_buckets == 0)
        {
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
            lifetime_default: Duration::from_secs(600),
            lifetime_max: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(600),
            allocations_max: 50_000,
            allocations_per_holder_max: 256,
            allocations_per_user_max: 10_000,
            permissions_max: 64,
            channels_max: 64,
            unauthenticated_rate: 200,
            unauthenticated_burst: 400,
            unauthenticated_buckets: 16_384,
        }
    }
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
    /// A limit that is on but lets nothing through.
    #[error("unauthenticated_burst and unauthenticated_buckets must be above 0")]
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
