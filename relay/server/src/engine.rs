//! The core together with the sockets that it decides about.

use crate::config::Limits;
use crate::handover::Packet;
use crate::io::Poller;
use crate::metrics::ShellCounters;
use crate::ports::{Ports, RefillError};
use crate::streams::StreamClient;
use heliograph_base::{Now, Time};
use relay_core::{At, Effect, IcmpError, PortId, Received, Revoke, Scratch, Server, Verdict};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

/// One worker's core, listeners and relay ports, and who watches them.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) poller: Poller,
    pub(crate) counters: ShellCounters,
    server: Server,
    listeners: Vec<UdpSocket>,
    ports: Ports,
    /// Ports of ended allocations: closed after the batch, whose answers may still leave by them.
    closing: Vec<PortId>,
    /// When to try again to open ports, after it failed.
    refill_after: Option<Time>,
    limits: Limits,
}

impl Engine {
    /// Watches the listeners.
    pub(crate) fn new(
        poller: Poller,
        server: Server,
        listeners: Vec<UdpSocket>,
        ports: Ports,
        limits: Limits,
    ) -> io::Result<Self> {
        for (id, listener) in (0..).zip(&listeners) {
            poller.watch(listener.as_fd(), At::Listener(relay_core::ListenerId(id)))?;
        }
        let counters = ShellCounters::default();
        let (closing, refill_after) = (Vec::new(), None);
        Ok(Self { poller, counters, server, listeners, ports, closing, refill_after, limits })
    }

    pub(crate) fn core_counters(&self) -> &relay_core::Counters {
        self.server.counters()
    }

    pub(crate) fn socket(&self, at: At) -> Option<BorrowedFd<'_>> {
        let socket = match at {
            At::Listener(id) => self.listeners.get(usize::from(id.0)),
            At::Port(id) => self.ports.socket(id),
        };
        socket.map(AsFd::as_fd)
    }

    /// One datagram from a client or a peer.
    pub(crate) fn handle<'a>(
        &mut self,
        now: Now,
        received: Received<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let verdict = self.server.handle(now, received, scratch);
        self.take_effects(now.time);
        verdict
    }

    /// One ICMP error about what a relay port sent to a peer.
    pub(crate) fn handle_icmp<'a>(
        &mut self,
        now: Now,
        port: PortId,
        to: SocketAddr,
        error: IcmpError,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let verdict = self.server.handle_icmp(now, port, to, error, scratch);
        self.take_effects(now.time);
        verdict
    }

    /// One packet from another worker's allocation.
    pub(crate) fn handle_handover<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let Packet { from, to, body } = *packet;
        let verdict = self.server.handle_handover(now, from, to, body, scratch);
        self.take_effects(now.time);
        verdict
    }

    /// A stream client's connection is closed: its allocation ends.
    pub(crate) fn handle_client_gone(&mut self, now: Now, client: StreamClient) {
        self.server.handle_client_gone(now, client.listener, client.address);
        self.take_effects(now.time);
    }

    /// Ends the allocations that are meant; says how many.
    pub(crate) fn handle_revoke(&mut self, now: Now, revoke: &Revoke) -> usize {
        let ended = self.server.handle_revoke(now, revoke);
        self.take_effects(now.time);
        ended
    }

    pub(crate) fn has_allocation(&self, client: StreamClient) -> bool {
        self.server.has_allocation(client.listener, client.address)
    }

    /// What waits until a batch is sent: ends allocations, closes their ports, fills the stock.
    pub(crate) fn keep_house(&mut self, now: Now) {
        if self.server.poll_timeout().is_some_and(|due| due <= now.time) {
            self.server.handle_timeout(now);
            self.take_effects(now.time);
        }
        if !self.closing.is_empty() {
            self.refill_after = None;
        }
        for port in self.closing.drain(..) {
            self.ports.close(port, now.time);
            self.counters.ports_closed += 1;
        }
        self.refill(now.time);
    }

    /// When [`Self::keep_house`] is due though nothing comes in.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        [self.server.poll_timeout(), self.refill_after].into_iter().flatten().min()
    }

    /// Opens the ports that the stock lacks.
    pub(crate) fn try_refill(&mut self, now: Time) -> Result<(), RefillError> {
        let Self { server, ports, counters, .. } = self;
        ports.refill(now, |port| {
            counters.ports_opened += 1;
            server.handle_port_open(port.id, port.bound, port.advertised);
        })
    }

    fn refill(&mut self, now: Time) {
        if self.refill_after.is_some_and(|due| now < due) {
            return;
        }
        let failed_before = self.refill_after.take().is_some();
        let Err(RefillError { ip, error }) = self.try_refill(now) else {
            return;
        };
        self.counters.port_failures += 1;
        self.refill_after = Some(now + self.limits.port_retry);
        if !failed_before {
            tracing::warn!(%error, "cannot open relay ports: with none in stock, Allocate fails");
            tracing::debug!(%ip, "relay address without a free port");
        }
    }

    fn take_effects(&mut self, now: Time) {
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                Effect::PortTaken(port) => self.start_port(port, now),
                Effect::ClosePort(port) => self.closing.push(port),
                Effect::PortReserved { port, token } => {
                    self.ports.reserve(port, token);
                    if self.ports.is_out_of_pairs() {
                        self.refill(now);
                    }
                }
                Effect::PortAdopted { port, token } => {
                    let is_there = self.ports.adopt(port, token);
                    assert!(is_there, "the core gives out what was laid on the shelf");
                    self.counters.ports_closed += 1;
                }
                Effect::ReservationEnded(token) => {
                    let is_there = self.ports.close_reserved(token, now);
                    self.counters.ports_closed += u64::from(is_there);
                }
            }
        }
    }

    fn start_port(&mut self, port: PortId, now: Time) {
        let socket = self.ports.take(port).expect("the core takes ports that were handed in");
        if let Err(error) = self.poller.watch(socket.as_fd(), At::Port(port)) {
            self.counters.port_failures += 1;
            tracing::warn!(%error, "cannot watch a relay port: its allocation hears no peer");
        }
        // The rest of the batch may hold more Allocates; other refills wait until it is sent.
        if self.ports.is_sold_out() {
            self.refill(now);
        }
    }
}
