//! What can keep a relay from starting, and what it tells about its start.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Why a relay could not start. The text names the flag, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address to listen on was given.
    #[error("no address to listen on: give one with --turn")]
    NoListener,
    /// A wildcard address of a family in which the machine has no address.
    #[error("{1} {0} stands for no address of this machine: it has none of that family")]
    NoAddress(SocketAddr, &'static str),
    /// Another program has the address, or another relay of ours.
    #[error("{0} is in use: stop the other program or choose another address with {1}")]
    InUse(SocketAddr, &'static str),
    /// Listening there needs more rights.
    #[error(
        "no permission to listen on {0}: ports below 1024 need root or CAP_NET_BIND_SERVICE; \
         choose another with {1}"
    )]
    NotPermitted(SocketAddr, &'static str),
    /// The machine has no such address.
    #[error(
        "{0} is not an address of this machine: give {1} one that is (or 0.0.0.0), and say \
         the outside address of a NAT with --public-ip {ip}", ip = .0.ip()
    )]
    NotOurs(SocketAddr, &'static str),
    /// A TLS listener without a certificate.
    #[error("--turn-tls {0} needs a certificate and its key: --tls-cert FILE and --tls-key FILE")]
    NoCertificate(SocketAddr),
    /// The outside address can't be one.
    #[error(
        "--public-ip {0} is not an address that others can send to: give the one the outside knows"
    )]
    PublicIp(IpAddr),
    /// Two outside addresses of one family.
    #[error("--public-ip {0} and {1} are of one family: give one of each at most")]
    PublicIps(IpAddr, IpAddr),
    /// An outside address without a listener that it could stand for.
    #[error(
        "--public-ip {0} stands for no listener: listen beyond loopback, such as with \
         --turn {1}:3478"
    )]
    PublicIpUnused(IpAddr, &'static str),
    /// A port range without ports.
    #[error("--port-range {0}-{1} is empty: the first port must be above 0 and not above the last")]
    PortRange(u16, u16),
    /// Every port of the range is taken.
    #[error(
        "no free port on {ip} for each of the workers in --port-range {first}-{last}: widen it, \
         or stop who has them"
    )]
    NoFreePort {
        /// The address on which relay ports are bound.
        ip: IpAddr,
        /// The first port of the range.
        first: u16,
        /// The last port of the range.
        last: u16,
    },
    /// The process may not have more files open.
    #[error("too many open files: raise the limit (ulimit -n, LimitNOFILE=), or lower --workers")]
    OpenFiles,
    /// No workers, or too many.
    #[error("--workers {0} is not between 1 and {max}", max = crate::RelayConfig::WORKERS_MAX)]
    Workers(usize),
    /// The server's own settings contradict each other.
    #[error(transparent)]
    Core(#[from] relay_core::InvalidConfig),
    /// The machine refused something else.
    #[error("cannot {action}: {error}")]
    Machine {
        /// What was tried.
        action: &'static str,
        /// What the machine said.
        error: io::Error,
    },
}

impl StartError {
    /// The error of listening on `address`, which `flag` asked for.
    pub(crate) fn of_listener(address: SocketAddr, flag: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EADDRINUSE) => Self::InUse(address, flag),
            Some(libc::EACCES | libc::EPERM) => Self::NotPermitted(address, flag),
            Some(libc::EADDRNOTAVAIL) => Self::NotOurs(address, flag),
            _ => Self::of("listen", error),
        }
    }

    /// The error of `action`.
    pub(crate) fn of(action: &'static str, error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => Self::OpenFiles,
            _ => Self::Machine { action, error },
        }
    }
}

/// What a relay chose, or got less of than it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A socket buffer of the listeners is smaller than asked for: bursts may be lost.
    SocketBuffer {
        /// Which buffer.
        name: &'static str,
        /// Bytes asked for.
        asked: usize,
        /// Bytes the kernel gave.
        got: usize,
        /// The setting of the kernel that limits it.
        sysctl: &'static str,
    },
    /// The process may have fewer files open than there are relay ports.
    OpenFiles {
        /// The most open files of this process.
        limit: u64,
        /// The relay ports that the range has, over all addresses.
        ports: u64,
    },
    /// The kernel can't receive and send bursts in one piece.
    NoOffload,
    /// An address that a wildcard stands for could not be bound, and is left out.
    LeftOut(SocketAddr),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SocketBuffer { name, asked, got, sysctl } => write!(
                f,
                "socket {name} buffer: asked for {asked} bytes, got {got}; for more: \
                 sysctl -w {sysctl}={asked}"
            ),
            Self::OpenFiles { limit, ports } => write!(
                f,
                "at most {limit} open files for {ports} relay ports: beyond it Allocate is \
                 refused; for more: ulimit -n, LimitNOFILE="
            ),
            Self::NoOffload => f.write_str(
                "this kernel has no UDP_GRO and UDP_SEGMENT (Linux 5.0 has): each packet of a \
                 burst is moved by itself",
            ),
            Self::LeftOut(address) => write!(f, "{address} could not be bound and is left out"),
        }
    }
}

/// A worker thread ended by a panic or an error, which the log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a relay worker failed")]
pub struct WorkerFailed;
