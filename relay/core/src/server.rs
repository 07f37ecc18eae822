//! The state machine of one worker.
//!
//! Here: what goes in and out, and the first choice for each datagram. In the files beside: who
//! asks (`authenticate`, `credentials`, `nonce`, `limiter`), what requests do (`allocate`,
//! `reserve`, `control`, `tcp`, `discovery`, `mobility`) and get (`answer`), how data goes
//! (`relay`), what an operator asks (`list`, `revoke`), and what is kept (`allocation`, `peers`,
//! `table`, `stock`, `rates`, `tickets`).

mod allocate;
mod allocation;
mod answer;
mod authenticate;
mod control;
mod credentials;
mod discovery;
mod limiter;
mod list;
mod mobility;
mod nonce;
mod peers;
mod rates;
mod refusals;
mod relay;
mod request;
mod reserve;
mod revoke;
mod stock;
mod table;
mod tcp;
mod tickets;

pub use list::{AllocationInfo, AllocationQuery, SeatInfo};
pub use refusals::{RefusalInfo, RefusalReason, SeatRecord};
pub use revoke::Revoke;
pub(crate) use tickets::Sealer;

use crate::wire::{Class, Message, Method};
use crate::{
    At, Config, Counters, Effect, Forwarded, IcmpError, Listener, ListenerId, PortId, Reason,
    Received, RelayedPorts, Scratch, Verdict, WorkerId,
};
use ahash::RandomState;
use answer::Success;
use authenticate::{HASHED_NAME_BYTES_MAX, Stranger};
use credentials::{Checker, Denied};
use discovery::Alternates;
use heliograph_base::{Now, Time};
use hmac::{Hmac, KeyInit, Mac};
use limiter::Limiter;
use mobility::Redirects;
use nonce::Nonces;
use refusals::Refusals;
use request::{Fields, Origin, Request};
use reserve::Reserved;
use revoke::Revoked;
use sha1::Sha1;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use stock::Stock;
use table::{Slot, Table};
use tcp::Connections;

/// A STUN/TURN server for the clients of one worker.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    worker: WorkerId,
    ports: Arc<RelayedPorts>,
    checker: Checker,
    nonces: Nonces,
    limiter: Limiter,
    revoked: Revoked,
    refusals: Refusals,
    table: Table,
    stock: Stock,
    reserved: Reserved,
    tcp_stock: Stock,
    connections: Connections,
    sealer: Sealer,
    /// How many allocations with tickets there have been.
    mobile_allocations: u64,
    redirects: Redirects,
    effects: VecDeque<Effect>,
    counters: Counters,
    /// The bit [`port_bit`] of each port of our own servers: by it alone most addresses are told
    /// from theirs.
    own_ports: u64,
    /// By listener.
    alternates: Box<[Option<Alternates>]>,
    /// Makes the transaction ids of indications, with their count.
    indication_hasher: RandomState,
    indications: u64,
}

/// The 5-tuple of an allocation: the listener says local address and transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client {
    listener: ListenerId,
    address: SocketAddr,
}

impl Hash for Client {
    /// In few and wide words: it is done for every packet from a client.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let place = u64::from(self.listener.0) << 16 | u64::from(self.address.port());
        match self.address.ip() {
            IpAddr::V4(v4) => state.write_u64(place << 32 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                state.write_u64(place);
                state.write_u128(v6.to_bits());
            }
        }
    }
}

impl Server {
    /// A server without allocations and without ports. `seed` is the worker's own randomness.
    ///
    /// # Panics
    /// If [`Config::check`] finds fault with `config`.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        worker: WorkerId,
        ports: Arc<RelayedPorts>,
        seed: [u8; 32],
    ) -> Self {
        if let Err(error) = config.check() {
            panic!("{error}");
        }
        let hasher = seeded_hasher(&seed, ["table 0", "table 1", "table 2", "table 3"]);
        Self {
            worker,
            sealer: ports.sealer(&seed),
            mobile_allocations: 0,
            redirects: Redirects::new(&config, &hasher),
            ports,
            checker: Checker::new(&config, &hasher),
            nonces: Nonces::new(derive(&seed, "nonces"), &config),
            limiter: Limiter::new(&config, hasher.clone()),
            revoked: Revoked::new(&config, &hasher),
            refusals: Refusals::new(&config, &hasher),
            table: Table::new(&config, &hasher),
            stock: Stock::default(),
            reserved: Reserved::new(derive(&seed, "reservations")),
            tcp_stock: Stock::default(),
            connections: Connections::new(worker, &hasher),
            effects: VecDeque::new(),
            counters: Counters::default(),
            own_ports: own_ports(&config),
            alternates: Alternates::of_all(&config.listeners),
            indication_hasher: hasher,
            indications: 0,
            config,
        }
    }

    /// Takes a freshly bound port into the stock, from which Allocate is answered.
    ///
    /// `bound` is the address of the socket, `advertised` what clients are told: they differ behind
    /// a NAT.
    pub fn handle_port_open(&mut self, port: PortId, bound: SocketAddr, advertised: SocketAddr) {
        self.stock.put(port, bound, advertised);
    }

    /// Takes a freshly bound TCP port into the stock, as [`Self::handle_port_open`] does; no two
    /// ports of either kind have the same number. A relay without them has no TCP allocations.
    ///
    /// It must be able to listen, and to be the source of connections at the same time.
    pub fn handle_tcp_port_open(
        &mut self,
        port: PortId,
        bound: SocketAddr,
        advertised: SocketAddr,
    ) {
        self.tcp_stock.put(port, bound, advertised);
    }

    /// Takes one datagram from a client or a peer.
    pub fn handle<'a>(
        &mut self,
        now: Now,
        received: Received<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        self.end_expired(now);
        let Received { at, from, bytes } = received;
        let verdict = match at {
            At::Listener(listener) => {
                let client = Client { listener, address: from };
                match self.redirect(now.time, client, bytes) {
                    Some(forward) => forward,
                    None => self.handle_client(now, client, Origin::Kernel, bytes, scratch),
                }
            }
            At::Port(port) => self.handle_peer(now, port, from, bytes, scratch),
        };
        self.count_drop(&verdict);
        verdict
    }

    /// Takes one datagram of a client of this worker that came to another one, which returned
    /// [`Verdict::Forward`].
    pub fn handle_forward<'a>(
        &mut self,
        now: Now,
        forwarded: Forwarded<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        self.end_expired(now);
        let Forwarded { listener, from: address, bytes, is_vouched_for } = forwarded;
        let client = Client { listener, address };
        let origin = Origin::Worker { is_vouched_for };
        let verdict = self.handle_client(now, client, origin, bytes, scratch);
        self.count_drop(&verdict);
        verdict
    }

    /// Takes an ICMP error about a datagram that went from a relay port to `peer`, whose port is 0
    /// if it isn't known.
    pub fn handle_icmp<'a>(
        &mut self,
        now: Now,
        port: PortId,
        peer: SocketAddr,
        error: IcmpError,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        self.end_expired(now);
        let verdict = self.tell_icmp(now, port, peer, error, scratch);
        self.count_drop(&verdict);
        verdict
    }

    /// Takes data from another worker's allocation `from` for this worker's allocation `to`, as if
    /// it had crossed the network.
    pub fn handle_handover<'a>(
        &mut self,
        now: Now,
        from: SocketAddr,
        to: SocketAddr,
        body: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        self.end_expired(now);
        let verdict = self.deliver(now, from, to, body, scratch);
        self.count_drop(&verdict);
        verdict
    }

    /// Takes note that a client's stream is closed, with which its allocation ends.
    ///
    /// The 5-tuple of a stream is its connection: without it nothing reaches the client any more,
    /// and another connection from the same address is another client.
    pub fn handle_client_gone(&mut self, now: Now, listener: ListenerId, address: SocketAddr) {
        self.end_expired(now);
        while let Some(slot) = self.table.of_client(Client { listener, address }) {
            self.end(slot);
        }
    }

    /// Whether the client has an allocation, and so has shown who it is.
    #[must_use]
    pub fn has_allocation(&self, listener: ListenerId, address: SocketAddr) -> bool {
        self.table.of_client(Client { listener, address }).is_some()
    }

    /// Ends what has outlived its lifetime.
    pub fn handle_timeout(&mut self, now: Now) {
        self.end_expired(now);
    }

    /// When to call [`Self::handle_timeout`] next, if nothing comes in before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let others = [self.reserved.next_deadline(), self.connections.deadline()];
        others.into_iter().chain([self.table.next_deadline()]).flatten().min()
    }

    /// The next piece of work for the shell; call until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What this worker counted since its start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn handle_client<'a>(
        &mut self,
        now: Now,
        client: Client,
        origin: Origin,
        bytes: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        // RFC 8489 §5, RFC 8656 §12: the first two bits tell STUN from ChannelData.
        match bytes.first().map(|first| first >> 6) {
            Some(0b00) => self.handle_stun(now, client, origin, bytes, scratch),
            Some(0b01) => self.handle_channel_data(now, client, bytes, scratch),
            Some(_) | None => Verdict::Drop(Reason::NotStun),
        }
    }

    fn handle_stun<'a>(
        &mut self,
        now: Now,
        client: Client,
        origin: Origin,
        bytes: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        let Ok(message) = Message::parse(bytes) else {
            return Verdict::Drop(Reason::Malformed);
        };
        let Some(method) = Method::from_number(message.method_number()) else {
            return Verdict::Drop(Reason::UnknownMethod);
        };
        let mut fields = Fields::of(&message);
        if self.alternates(client.listener).is_none() {
            fields.forget_discovery();
        }
        let request = Request { now, client, origin, method, message, fields };
        match message.class() {
            Class::Request => self.handle_request(&request, scratch),
            Class::Indication => self.handle_indication(&request, scratch),
            Class::Success | Class::Error => Verdict::Drop(Reason::UnexpectedClass),
        }
    }

    fn handle_request<'a>(
        &mut self,
        request: &Request<'a>,
        scratch: &'a mut Scratch,
    ) -> Verdict<'a> {
        if self.is_bad_source(request.client.address) {
            return Verdict::Drop(Reason::BadSource);
        }
        self.counters.count_request(request.method);
        let is_open = request.method == Method::Binding;
        self.nonces.rotate(request.now.time);
        let mut room = [0; HASHED_NAME_BYTES_MAX];
        let user = (!is_open).then(|| self.authenticate(request, &mut room));
        let source = request.client.address.ip();
        if !matches!(user, Some(Ok(_))) && !self.limiter.take(request.now.time, source) {
            return Verdict::Drop(Reason::RateLimited);
        }
        match user {
            None => self.answer_binding(request, scratch),
            Some(Err(stranger)) => {
                self.note_stranger(request.now, &stranger);
                self.refuse(request, stranger.code, scratch)
            }
            Some(Ok(user)) => {
                let outcome = match self.forward_move(request) {
                    Ok(Some(forward)) => return forward,
                    Ok(None) => self.perform(request, user),
                    Err(code) => Err(code),
                };
                if let Err(code) = outcome {
                    self.refusals.note(request.now, user, request.method, code);
                }
                match outcome {
                    Ok(Success::Later) => Verdict::Done,
                    outcome => self.answer(request, &user.key, outcome, scratch),
                }
            }
        }
    }

    fn note_stranger(&mut self, now: Now, stranger: &Stranger<'_>) {
        match stranger.named {
            Some((name, Denied::Expired(expires))) => {
                self.refusals.note_expired(now, name, expires);
            }
            Some((name, Denied::Wrong)) => self.refusals.note_unproven(now, name),
            None => {}
        }
    }

    /// Whether no client can have this address, so that an answer to it would harm somebody.
    fn is_bad_source(&self, source: SocketAddr) -> bool {
        let is_bad_ip = match source.ip() {
            IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast(),
        };
        is_bad_ip || source.port() == 0 || self.is_own_server(source)
    }

    /// Whether this is the address of one of our own servers.
    fn is_own_server(&self, address: SocketAddr) -> bool {
        self.own_ports & port_bit(address.port()) != 0 && self.is_among_own(address)
    }

    fn is_among_own(&self, address: SocketAddr) -> bool {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let is_it = |own: &SocketAddr| own.port() == port && own.ip() == ip;
        self.config.listeners.iter().any(|listener| is_it(&listener.local))
            || self.config.never_peers.iter().any(is_it)
    }

    /// The listener that a client came by.
    fn listener(&self, listener: ListenerId) -> &Listener {
        let listener = self.config.listeners.get(usize::from(listener.0));
        listener.expect("the shell names listeners of the config")
    }

    /// Whether no packet may go to or come from this address of a peer over the network, whatever
    /// its IP address: our own servers, and ports where services live.
    fn is_denied_peer(&self, peer: SocketAddr) -> bool {
        let is_low = peer.port() < LOW_PORTS_END;
        (is_low && !self.config.peer_ports_low.contains(&peer.port()))
            || peer.port() == 0
            || self.is_own_server(peer)
    }

    fn end_expired(&mut self, now: Now) {
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now.time);
        let any_is_due = is_due(self.table.next_deadline())
            || is_due(self.reserved.next_deadline())
            || is_due(self.connections.deadline());
        if any_is_due {
            self.end_all_expired(now);
        }
    }

    fn end_all_expired(&mut self, now: Now) {
        while let Some(slot) = self.table.pop_expired(now.time) {
            self.end(slot);
        }
        self.end_reservations(now.time);
        self.end_unbound(now);
    }

    fn end(&mut self, slot: Slot) {
        let allocation = self.table.remove(slot);
        let (user, kind) = (&allocation.record.user, allocation.record.user_kind);
        self.ports.usage.give_back(&self.claim(user, kind, allocation.record.source));
        match &allocation.connections {
            Some(connections) => self.forget_connections(connections),
            None => self.ports.free(allocation.relayed),
        }
        self.effects.push_back(Effect::ClosePort(allocation.port));
        self.counters.allocations_ended += 1;
    }

    fn count_drop(&mut self, verdict: &Verdict<'_>) {
        if let Verdict::Drop(reason) = verdict {
            self.counters.count_drop(*reason);
        }
    }
}

fn own_ports(config: &Config) -> u64 {
    let listeners = config.listeners.iter().map(|listener| listener.local);
    let all = listeners.chain(config.never_peers.iter().copied());
    all.fold(0, |bits, address| bits | port_bit(address.port()))
}

/// One of 64 bits, which a port has in common with few others.
const fn port_bit(port: u16) -> u64 {
    1 << (port % 64)
}

/// Ports below are for the services of a system.
const LOW_PORTS_END: u16 = 1024;

/// Randomness for one purpose, from the worker's randomness.
fn derive(seed: &[u8; 32], purpose: &str) -> [u8; 20] {
    let mut hmac = Hmac::<Sha1>::new_from_slice(seed).expect("HMAC takes keys of any length");
    hmac.update(purpose.as_bytes());
    hmac.finalize().into_bytes().into()
}

fn seeded_hasher(seed: &[u8; 32], purposes: [&str; 4]) -> RandomState {
    let [k0, k1, k2, k3] = purposes.map(|purpose| {
        let [a, b, c, d, e, f, g, h, ..] = derive(seed, purpose);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    });
    RandomState::with_seeds(k0, k1, k2, k3)
}
