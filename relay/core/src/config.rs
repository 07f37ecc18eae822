//! What an operator can set, and every limit with its name, unit, default and reason.

use heliograph_base::Secret;
use std::net::SocketAddr;
use std::time::Duration;

/// The settings of a relay; the same for all its workers.
#[derive(Clone, Debug)]
pub struct Config {
    /// The REALM that clients are challenged with.
    pub realm: String,
    /// Secrets of time-limited credentials, newest first; each is tried.
    pub secrets: Vec<Secret>,
    /// Users with fixed passwords, for tests and small set-ups.
    pub users: Vec<StaticUser>,
    /// The addresses that clients send to; a [`ListenerId`](crate::ListenerId) is a place in this list.
    pub listeners: Vec<Listener>,
    /// The longest lifetime an allocation gets, however much a client asks for.
    pub lifetime_max: Duration,
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
}
