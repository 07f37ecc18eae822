//! What goes into and comes out of a [`Server`](crate::Server): datagrams, verdicts, effects.

use crate::ReservationToken;
use crate::wire::ConnectionId;
use std::net::SocketAddr;

/// The place of a listening address in [`Config::listeners`](crate::Config::listeners).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u16);

/// A relay port's number, chosen by the shell; small and reused, so that tables indexed by it stay
/// dense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

/// The number of a worker thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u8);

/// The socket where a datagram came in, or by which one goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// A listening address: the other side is a client.
    Listener(ListenerId),
    /// A relayed transport address: the other side is a peer.
    Port(PortId),
}

/// One datagram as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The socket it came in by.
    pub at: At,
    /// The address it came from.
    pub from: SocketAddr,
    /// The whole UDP payload, or one whole message of a stream.
    pub bytes: &'a [u8],
}

/// One datagram from a client that came to another worker than the one that serves it. RFC 8016.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// The listener it came in by; every worker has a socket of it.
    pub listener: ListenerId,
    /// The client.
    pub from: SocketAddr,
    /// The whole UDP payload: a slice of the input.
    pub bytes: &'a [u8],
    /// Whether the other worker checked that it has a nonce, made for this client: of another
    /// worker's nonces this one knows nothing.
    pub is_vouched_for: bool,
}

/// An ICMP error about a datagram that went out by a relay port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Its type, of ICMPv4 or ICMPv6 after the address of the peer.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The MTU of the next link in bytes, if it says that the datagram was too big.
    pub mtu: u32,
}

/// What becomes of one datagram.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// Send this one datagram.
    Send(Transmit<'a>),
    /// Hand it to the worker that owns the relayed transport address `to`: it calls
    /// [`Server::handle_handover`](crate::Server::handle_handover) with the same three.
    Handover {
        /// The worker that owns `to`.
        worker: WorkerId,
        /// The relayed transport address of the sending allocation, as its client was told.
        from: SocketAddr,
        /// The relayed transport address of the receiving allocation, as its client was told.
        to: SocketAddr,
        /// The data, without any TURN header: a slice of the input.
        body: &'a [u8],
    },
    /// Another worker serves this client, who moved here: hand it the whole datagram. It calls
    /// [`Server::handle_forward`](crate::Server::handle_forward).
    Forward {
        /// The worker that has the client's allocation.
        worker: WorkerId,
        /// The datagram.
        forwarded: Forwarded<'a>,
    },
    /// All is done, nothing is to be sent.
    Done,
    /// It was dropped, and counted under this reason.
    Drop(Reason),
}

/// One datagram to send: `head`, `body` and `pad` zero bytes, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// The socket to send by.
    pub via: At,
    /// The address to send to.
    pub to: SocketAddr,
    /// A header or a whole answer, in the scratch of the call.
    pub head: &'a [u8],
    /// Relayed data: a slice of the input. Empty in an answer.
    pub body: &'a [u8],
    /// How many zero bytes follow: 0 to 3.
    pub pad: usize,
    /// Whether no router may fragment it: set DF (IPv4), make no fragments (IPv6). A client asks
    /// for it by DONT-FRAGMENT; all else goes out with DF 0. RFC 8656 §14.
    pub dont_fragment: bool,
}

/// Room for the head of one outgoing datagram.
///
/// A shell that sends in batches has one for each place in its batch.
#[derive(Clone)]
pub struct Scratch {
    pub(crate) bytes: [u8; Self::BYTES],
}

impl Scratch {
    /// More than the longest answer.
    pub const BYTES: usize = 768;

    /// An empty scratch.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; Self::BYTES] }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Work for the shell beside sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An allocation took this port from the stock: receive on it, and open another for the stock.
    PortTaken(PortId),
    /// The allocation is gone, or the stock has no use for it: close the port, and if it is one of
    /// TCP, all connections with peers. Its number may be used again.
    ClosePort(PortId),
    /// This port of the stock is kept for an Allocate at any worker: lay its socket on a shelf that
    /// the workers share, under its token, and don't receive on it. Its number may be used again.
    PortReserved {
        /// The port.
        port: PortId,
        /// What the socket is found by.
        token: ReservationToken,
    },
    /// An allocation gets what was kept: close the socket of this port of the stock, put the one
    /// from the shelf in its place. [`Self::PortTaken`] follows.
    PortAdopted {
        /// The port.
        port: PortId,
        /// What the socket is found by.
        token: ReservationToken,
    },
    /// Nobody came for what this worker kept: close the socket on the shelf.
    ReservationEnded(ReservationToken),
    /// Connect from this TCP port to the peer, within 30 seconds or more, and tell
    /// [`Server::handle_peer_connected`](crate::Server::handle_peer_connected).
    Connect {
        /// The relay port that is the source.
        port: PortId,
        /// How the connection is called.
        connection: ConnectionId,
        /// Where to.
        peer: SocketAddr,
    },
    /// Once all is sent that went to this stream client, it carries no more messages: pass its
    /// bytes on to this peer connection and back, until either ends. Then tell
    /// [`Server::handle_peer_closed`](crate::Server::handle_peer_closed).
    Splice {
        /// The relay port of the peer connection.
        port: PortId,
        /// The peer connection.
        connection: ConnectionId,
        /// The listener that the client's connection came by.
        listener: ListenerId,
        /// The client's address.
        client: SocketAddr,
    },
    /// Nobody bound this peer connection in time: close it.
    ClosePeer {
        /// Its relay port.
        port: PortId,
        /// The peer connection.
        connection: ConnectionId,
    },
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It doesn't begin as STUN or ChannelData does.
    NotStun,
    /// It begins so, but breaks the format.
    Malformed,
    /// It came from an address that no client has: port 0, multicast, broadcast, unspecified, or a
    /// listener of this relay.
    BadSource,
    /// A request with a method that this relay doesn't know.
    UnknownMethod,
    /// An answer: this relay asks nothing.
    UnexpectedClass,
    /// An indication that lacks an attribute or has one that must be understood and isn't; it gets
    /// no answer.
    BadIndication,
    /// The source prefix got as many answers to unauthenticated requests as it may.
    RateLimited,
    /// The client or the port has no allocation.
    NoAllocation,
    /// The client's allocation has no such channel.
    NoChannel,
    /// The allocation has no permission for the peer's address.
    NoPermission,
    /// The policy denies the peer address.
    PeerDenied,
    /// More data than one message can carry.
    TooLong,
    /// An ICMP error of a kind that clients aren't told of, or for a client that may not know what
    /// to do with it.
    Icmp,
    /// The user sends and gets more packets or bytes a second than one may.
    OverRate,
    /// A connection of a peer beyond those that its allocation may have.
    Connections,
}

impl Reason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 15] = [
        Self::NotStun,
        Self::Malformed,
        Self::BadSource,
        Self::UnknownMethod,
        Self::UnexpectedClass,
        Self::BadIndication,
        Self::RateLimited,
        Self::NoAllocation,
        Self::NoChannel,
        Self::NoPermission,
        Self::PeerDenied,
        Self::TooLong,
        Self::Icmp,
        Self::OverRate,
        Self::Connections,
    ];

    /// Its name in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStun => "not_stun",
            Self::Malformed => "malformed",
            Self::BadSource => "bad_source",
            Self::UnknownMethod => "unknown_method",
            Self::UnexpectedClass => "unexpected_class",
            Self::BadIndication => "bad_indication",
            Self::RateLimited => "rate_limited",
            Self::NoAllocation => "no_allocation",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::PeerDenied => "peer_denied",
            Self::TooLong => "too_long",
            Self::Icmp => "icmp",
            Self::OverRate => "over_rate",
            Self::Connections => "connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_all_is_the_order_of_declaration() {
        assert!(Reason::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
    }
}
