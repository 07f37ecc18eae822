//! A STUN/TURN server without IO: wire format and state machine.
//!
//! One [`Server`] is what one worker thread runs. The shell (`relay-server`) owns sockets, threads
//! and the clock:
//!
//! 1. it receives a batch of datagrams, reads the clock once, and calls [`Server::handle`] for
//!    each;
//! 2. each call gives one [`Verdict`]: at most one datagram to send, borrowed from the input and a
//!    [`Scratch`];
//! 3. after the batch it drains [`Server::poll_effect`] (ports taken and to be closed), hands in
//!    freshly bound ports with [`Server::handle_port_open`], and sleeps no longer than
//!    [`Server::poll_timeout`], at which it calls [`Server::handle_timeout`].
//!
//! Nothing here reads a clock, opens a socket, or rolls dice: time is an argument and randomness a
//! seed.

mod config;
mod counters;
mod packet;
mod policy;
mod ports;
mod reservations;
mod server;
mod usage;
pub mod wire;

pub use config::{
    CHANNEL_LIFETIME, CONNECTION_BIND_TIMEOUT, Config, InvalidConfig, Listener,
    PERMISSION_LIFETIME, RESERVATION_LIFETIME, StaticUser, Transport, is_dns_name,
};
pub use counters::{Counters, Flow};
pub use packet::{
    At, Effect, Forwarded, IcmpError, ListenerId, PortId, Reason, Received, Scratch, Transmit,
    Verdict, WorkerId,
};
pub use policy::{Cidr, InvalidCidr, PeerPolicy};
pub use ports::RelayedPorts;
pub use reservations::ReservationToken;
pub use server::{
    AllocationInfo, AllocationQuery, RefusalInfo, RefusalReason, Revoke, SeatInfo, SeatRecord,
    Server,
};
