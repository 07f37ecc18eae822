//! What a shell does around the relay core: workers, sockets, a stock of ports; and the oracle at
//! its door.

use super::oracle::{Door, Input, Oracle, Sent};
use crate::Dice;
use heliograph_base::{Now, Time};
use relay_core::{
    At, Config, Effect, ListenerId, PortId, Received, RelayedPorts, Revoke, Scratch, Server,
    Verdict, WorkerId,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Few, so that they are soon used again.
const FIRST_PORT: u16 = 50_000;
const PORTS: u64 = 48;

/// How many bound ports each worker has in stock.
const STOCK: usize = 3;

/// A relay with its workers, on an address of each family, which relays from that of IPv4; each
/// datagram is judged by the oracle.
#[derive(Debug)]
pub struct RelayNode {
    config: Arc<Config>,
    ip: IpAddr,
    workers: Vec<Server>,
    /// By port number.
    sockets: BTreeMap<u16, Socket>,
    dice: Dice,
    oracle: Oracle,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    worker: usize,
    port: PortId,
    is_taken: bool,
}

/// What the relay does with one datagram, until it is sent.
enum Step {
    Sent(Sent),
    Handover { worker: usize, from: SocketAddr, to: SocketAddr, body: Vec<u8> },
    Nothing,
}

impl RelayNode {
    /// A relay without allocations. `config` has a listener for UDP on IPv4, maybe another one on
    /// IPv6 with the same port, and a secret.
    #[must_use]
    pub fn new(config: Config, workers: usize, mut dice: Dice) -> Self {
        let ip = config.listeners[0].local.ip();
        let oracle = Oracle::new(&config);
        let shared = Arc::new(RelayedPorts::new([ip]));
        let config = Arc::new(config);
        let server = |worker| {
            Server::new(config.clone(), WorkerId(worker as u8), shared.clone(), dice.bytes())
        };
        let workers = (0..workers).map(server).collect();
        let sockets = BTreeMap::new();
        let mut node = Self { config, ip, workers, sockets, dice, oracle };
        node.restock();
        node
    }

    /// All that was in memory is gone.
    pub(crate) fn restart(&mut self) {
        let config = Config::clone(&self.config);
        *self = Self::new(config, self.workers.len(), self.dice.fork());
    }

    pub(crate) fn listener(&self) -> SocketAddr {
        self.config.listeners[0].local
    }

    pub(crate) fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Takes a datagram to one of the relay's ports; the one that leaves, if one does.
    ///
    /// # Panics
    /// If the relay does what it may not, or doesn't what it must.
    pub fn handle(&mut self, now: Now, to: u16, from: SocketAddr, bytes: &[u8]) -> Option<Sent> {
        let (worker, at, door) = if to == self.listener().port() {
            let listener = ListenerId(u16::from(from.is_ipv6()));
            (self.worker_of(from), At::Listener(listener), Door::Listener)
        } else {
            let socket = self.sockets.get(&to).filter(|socket| socket.is_taken)?;
            let relayed = SocketAddr::new(self.ip, to);
            (socket.worker, At::Port(socket.port), Door::Relayed(relayed))
        };
        let mut scratch = Scratch::new();
        let received = Received { at, from, bytes };
        let verdict = self.workers[worker].handle(now, received, &mut scratch);
        let mut step = step(&self.sockets, &self.config, worker, verdict);
        while let Step::Handover { worker, from, to, body } = step {
            let mut scratch = Scratch::new();
            let server = &mut self.workers[worker];
            let verdict = server.handle_handover(now, from, to, &body, &mut scratch);
            step = self::step(&self.sockets, &self.config, worker, verdict);
        }
        let sent = match step {
            Step::Sent(sent) => Some(sent),
            Step::Handover { .. } | Step::Nothing => None,
        };
        self.oracle.judge(now, &Input { door, from, bytes }, sent.as_ref());
        self.settle(now);
        sent
    }

    pub(crate) fn handle_revoke(&mut self, now: Now, room: &str, peer: &str, seat: u64) {
        let (room, peer) = (room.to_owned(), peer.to_owned());
        self.oracle.revoke(&room, &peer, seat);
        let revoke = Revoke::Seat { room, peer, seat };
        for worker in &mut self.workers {
            worker.handle_revoke(now, &revoke);
        }
        self.settle(now);
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.workers.iter().filter_map(Server::poll_timeout).min()
    }

    /// Does what is due.
    ///
    /// # Panics
    /// If something outlives its end.
    pub fn handle_timeout(&mut self, now: Now) {
        for worker in &mut self.workers {
            worker.handle_timeout(now);
        }
        self.settle(now);
    }

    /// How many allocations there are, by the relay's own count.
    pub(crate) fn live(&self) -> u64 {
        self.workers.iter().map(|worker| worker.counters().allocations_live()).sum()
    }

    /// The kernel brings a client always to the same worker.
    fn worker_of(&self, client: SocketAddr) -> usize {
        usize::from(client.port()) % self.workers.len()
    }

    /// Does what the workers want done with ports.
    fn settle(&mut self, now: Now) {
        for worker in 0..self.workers.len() {
            while let Some(effect) = self.workers[worker].poll_effect() {
                match effect {
                    Effect::PortTaken(port) => {
                        let (_, socket) = self.socket_mut(worker, port);
                        socket.is_taken = true;
                    }
                    Effect::ClosePort(port) => {
                        let (number, _) = self.socket_mut(worker, port);
                        self.sockets.remove(&number);
                        self.oracle.closed(now.time, SocketAddr::new(self.ip, number));
                    }
                    Effect::PortReserved { .. }
                    | Effect::PortAdopted { .. }
                    | Effect::ReservationEnded(_)
                    | Effect::Connect { .. }
                    | Effect::Splice { .. }
                    | Effect::ClosePeer { .. } => panic!("nobody asked for it: {effect:?}"),
                }
            }
        }
        self.restock();
        self.oracle.check(now.time, self.poll_timeout());
        assert_eq!(self.live(), self.oracle.live() as u64, "allocations, as told and as counted");
    }

    fn socket_mut(&mut self, worker: usize, port: PortId) -> (u16, &mut Socket) {
        let mut all = self.sockets.iter_mut();
        let it = all.find(|(_, socket)| (socket.worker, socket.port) == (worker, port));
        let (number, socket) = it.expect("the port is open");
        (*number, socket)
    }

    fn restock(&mut self) {
        for worker in 0..self.workers.len() {
            let of_worker = |it: &&Socket| it.worker == worker;
            while self.sockets.values().filter(of_worker).filter(|it| !it.is_taken).count() < STOCK
            {
                let number = FIRST_PORT + self.dice.below(PORTS) as u16;
                if self.sockets.contains_key(&number) {
                    continue;
                }
                let used = |id| self.sockets.values().filter(of_worker).any(|it| it.port.0 == id);
                let port = PortId((0..).find(|id| !used(*id)).expect("numbers don't end"));
                let address = SocketAddr::new(self.ip, number);
                self.workers[worker].handle_port_open(port, address, address);
                self.sockets.insert(number, Socket { worker, port, is_taken: false });
            }
        }
    }
}

fn step(
    sockets: &BTreeMap<u16, Socket>,
    config: &Config,
    worker: usize,
    verdict: Verdict<'_>,
) -> Step {
    match verdict {
        Verdict::Send(transmit) => {
            let from = match transmit.via {
                At::Listener(ListenerId(place)) => config.listeners[usize::from(place)].local,
                At::Port(port) => {
                    let is_it = |it: &Socket| (it.worker, it.port) == (worker, port);
                    let mut all = sockets.iter().filter(|(_, socket)| is_it(socket));
                    let ip = config.listeners[0].local.ip();
                    SocketAddr::new(ip, *all.next().expect("the port is open").0)
                }
            };
            let mut bytes = [transmit.head, transmit.body].concat();
            bytes.resize(bytes.len() + transmit.pad, 0);
            Step::Sent(Sent { from, to: transmit.to, bytes })
        }
        Verdict::Handover { worker, from, to, body } => {
            Step::Handover { worker: usize::from(worker.0), from, to, body: body.to_vec() }
        }
        Verdict::Forward { .. } => panic!("nobody moved"),
        Verdict::Done | Verdict::Drop(_) => Step::Nothing,
    }
}
