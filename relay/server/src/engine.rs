//! The core together with the sockets that it decides about.

use crate::config::Limits;
use crate::handover::{Packet, Way};
use crate::io::Poller;
use crate::metrics::ShellCounters;
use crate::ports::{Ports, RefillError};
use crate::streams::{Closed, Joint, Peer, PeerPorts, StreamClient};
use heliograph_base::{Now, SeatName, Time, UnixTime};
use relay_core::wire::ConnectionId;
use relay_core::{
    AllocationInfo, AllocationQuery, At, Effect, Forwarded, IcmpError, PortId, Received, Revoke,
    Scratch, SeatRecord, Server, Verdict,
};
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
    /// The TCP relay ports in use, if there are stream clients.
    peers: Option<PeerPorts>,
    /// Clients to be joined to peers with the answers of this batch.
    joints: Vec<(StreamClient, ConnectionId, Joint)>,
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
        peers: Option<PeerPorts>,
        limits: Limits,
    ) -> io::Result<Self> {
        for (id, listener) in (0..).zip(&listeners) {
            poller.watch(listener.as_fd(), At::Listener(relay_core::ListenerId(id)))?;
        }
        let counters = ShellCounters::default();
        let (closing, refill_after) = (Vec::new(), None);
        let joints = Vec::new();
        Ok(Self {
            poller,
            counters,
            server,
            listeners,
            ports,
            peers,
            joints,
            closing,
            refill_after,
            limits,
        })
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

    /// One packet from another worker's allocation, or of a client that came to another worker.
    pub(crate) fn handle_handover<'a>(
        &mut self,
        now: Now,
        packet: &Packet<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let Packet { from, way, body } = *packet;
        let verdict = match way {
            Way::Allocation(to) => self.server.handle_handover(now, from, to, body, scratch),
            Way::Core { listener, is_vouched_for } => {
                let forwarded = Forwarded { listener, from, bytes: body, is_vouched_for };
                self.server.handle_forward(now, forwarded, scratch)
            }
        };
        self.take_effects(now.time);
        verdict
    }

    /// A stream client's connection is closed, if it was there: its allocation ends, and the peer
    /// connection that it was joined to.
    pub(crate) fn handle_closed(&mut self, now: Now, client: StreamClient, closed: Option<Closed>) {
        let Some(Closed { joined }) = closed else { return };
        self.server.handle_client_gone(now, client.listener, client.address);
        if let Some(connection) = joined {
            self.server.handle_peer_closed(now, connection);
        }
        self.take_effects(now.time);
    }

    pub(crate) fn allocations(&self, now: Now, query: &AllocationQuery) -> Vec<AllocationInfo> {
        self.server.allocations(now, query)
    }

    pub(crate) fn seat_record(&self, now: Now, seat: SeatName<'_>) -> SeatRecord {
        self.server.seat_record(now, seat)
    }

    /// How long the credentials are good, at most, that are meant and used here.
    pub(crate) fn latest_expiry(&self, revoke: &Revoke) -> Option<UnixTime> {
        self.server.latest_expiry(revoke)
    }

    /// Ends the allocations that are meant; says how many. `latest` is what other workers know.
    pub(crate) fn handle_revoke(
        &mut self,
        now: Now,
        revoke: &Revoke,
        latest: Option<UnixTime>,
    ) -> usize {
        let ended = self.server.handle_revoke_through(now, revoke, latest);
        self.take_effects(now.time);
        ended
    }

    /// What became of a connection to a peer.
    pub(crate) fn handle_peer_connected<'a>(
        &mut self,
        now: Now,
        (port, connection): (PortId, ConnectionId),
        peer: Option<Peer>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let is_there = peer.is_some();
        let verdict = self.server.handle_peer_connected(now, connection, is_there, scratch);
        if let (Verdict::Send(_), Some(peer), Some(peers)) = (&verdict, peer, &mut self.peers) {
            peers.keep(port, connection, peer);
        }
        self.take_effects(now.time);
        verdict
    }

    /// A connection from a peer; the verdict is what tells the client.
    pub(crate) fn handle_peer_accepted<'a>(
        &mut self,
        now: Now,
        port: PortId,
        address: SocketAddr,
        peer: Peer,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let accepted = self.server.handle_peer_accepted(now, port, address, scratch);
        let verdict = match (accepted, &mut self.peers) {
            (Ok((connection, transmit)), Some(peers)) => {
                peers.keep(port, connection, peer);
                Verdict::Send(transmit)
            }
            (Ok(_), None) => Verdict::Done,
            (Err(reason), _) => Verdict::Drop(reason),
        };
        self.take_effects(now.time);
        verdict
    }

    /// A client to be joined to a peer behind its answer; call until there is none.
    pub(crate) fn poll_joint(&mut self) -> Option<(StreamClient, ConnectionId, Joint)> {
        self.joints.pop()
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
            let is_tcp = self.peers.as_mut().is_some_and(|peers| peers.close(port, now.time));
            match is_tcp {
                true => self.ports.give_back_id(port),
                false => self.ports.close(port, now.time),
            }
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
        let Self { server, ports, peers, counters, .. } = self;
        ports.refill(now, |port| {
            counters.ports_opened += 1;
            server.handle_port_open(port.id, port.bound, port.advertised);
        })?;
        let Some(peers) = peers else { return Ok(()) };
        let new_id = || ports.lend_id();
        peers.stock.refill(now, new_id, |port| {
            counters.ports_opened += 1;
            server.handle_tcp_port_open(port.id, port.bound, port.advertised);
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
                Effect::PortReserved { port, token } => self.ports.reserve(port, token),
                Effect::PortAdopted { port, token } => {
                    let is_there = self.ports.adopt(port, token);
                    assert!(is_there, "the core gives out what was laid on the shelf");
                    self.counters.ports_closed += 1;
                }
                Effect::ReservationEnded(token) => {
                    let is_there = self.ports.close_reserved(token, now);
                    self.counters.ports_closed += u64::from(is_there);
                }
                Effect::Connect { .. } | Effect::Splice { .. } | Effect::ClosePeer { .. } => {
                    self.take_peer_effect(effect);
                }
            }
        }
    }

    fn take_peer_effect(&mut self, effect: Effect) {
        let Some(peers) = &mut self.peers else { return };
        match effect {
            Effect::PortTaken(_)
            | Effect::ClosePort(_)
            | Effect::PortReserved { .. }
            | Effect::PortAdopted { .. }
            | Effect::ReservationEnded(_) => {}
            Effect::Connect { port, connection, peer } => peers.connect(port, connection, peer),
            Effect::Splice { port, connection, listener, client: address } => {
                if let Some(joint) = peers.joint(port, connection) {
                    self.joints.push((StreamClient { listener, address }, connection, joint));
                }
            }
            Effect::ClosePeer { port, connection } => peers.close_peer(port, connection),
        }
    }

    fn start_port(&mut self, port: PortId, now: Time) {
        let taken = self.peers.as_mut().and_then(|peers| Some((peers.stock.take(port)?, peers)));
        let (started, is_sold_out) = match taken {
            Some((taken, peers)) => (peers.open(port, taken), peers.stock.is_sold_out()),
            None => {
                let socket = self.ports.take(port);
                let socket = socket.expect("the core takes ports that were handed in");
                let started = self.poller.watch(socket.as_fd(), At::Port(port));
                (started, self.ports.is_sold_out() || self.ports.is_out_of_pairs())
            }
        };
        if let Err(error) = started {
            self.counters.port_failures += 1;
            tracing::warn!(%error, "cannot watch a relay port: its allocation hears no peer");
        }
        // The rest of the batch may hold more Allocates; other refills wait until it is sent.
        if is_sold_out {
            self.refill(now);
        }
    }
}
