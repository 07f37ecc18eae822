//! The state machine of one worker.

use crate::{Config, Counters, Effect, PortId, Received, RelayedPorts, Scratch, Verdict, WorkerId};
use heliograph_base::{Now, Time};
use std::net::SocketAddr;
use std::sync::Arc;

/// A STUN/TURN server for the clients of one worker.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// A server without allocations and without ports. `seed` is the worker's own randomness.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        worker: WorkerId,
        ports: Arc<RelayedPorts>,
        seed: [u8; 32],
    ) -> Self {
        todo!("relay-core")
    }

    /// Takes a freshly bound port into the stock, from which Allocate is answered.
    ///
    /// `bound` is the address of the socket, `advertised` what clients are told: they differ behind a NAT.
    pub fn handle_port_open(&mut self, port: PortId, bound: SocketAddr, advertised: SocketAddr) {
        todo!("relay-core")
    }

    /// What this worker counted since its start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        todo!("relay-core")
    }

    /// Takes one datagram from a client or a peer.
    pub fn handle<'a>(
        &mut self,
        now: Now,
        received: Received<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        todo!("relay-core")
    }

    /// Takes data from another worker's allocation `from` for this worker's allocation `to`, as if it had crossed the network.
    pub fn handle_handover<'a>(
        &mut self,
        now: Now,
        from: SocketAddr,
        to: SocketAddr,
        body: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        todo!("relay-core")
    }

    /// Ends what has outlived its lifetime.
    pub fn handle_timeout(&mut self, now: Now) {
        todo!("relay-core")
    }

    /// When to call [`Self::handle_timeout`] next, if nothing comes in before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        todo!("relay-core")
    }

    /// The next piece of work for the shell; call until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        todo!("relay-core")
    }
}
