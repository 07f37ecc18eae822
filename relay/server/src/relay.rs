//! Starting, watching and ending a relay.

use crate::config::{Limits, RelayConfig, StreamConfig, StreamLimits};
use crate::engine::Engine;
use crate::error::{Note, StartError, WorkerFailed};
use crate::handover::{Control, Handover};
use crate::io::{Poller, sys};
use crate::ledger::Ledger;
use crate::listen::{self, ListenerAddress, Listening, Sockets};
use crate::metrics::Board;
use crate::orders::Order;
use crate::ports::{Ports, RefillError, RelayIp};
use crate::shelf::Shelf;
use crate::socket;
use crate::streams::{Door, PeerPorts, StreamClients, StreamListener, Streams, Ties};
use crate::tcp_stock::TcpStock;
use crate::worker::Worker;
use heliograph_base::{Clock, Sample};
use rand::SeedableRng;
use rand::rngs::StdRng;
use relay_core::{Listener, ListenerId, RelayedPorts, Revoke, Server, Transport, WorkerId};
use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A running relay. Dropped, it ends like with [`Self::shutdown`].
#[derive(Debug)]
pub struct Relay {
    listeners: Vec<ListenerAddress>,
    notes: Vec<Note>,
    boards: Vec<Arc<Board>>,
    pub(crate) controls: Vec<Arc<Control>>,
    threads: Vec<JoinHandle<()>>,
    /// None if there are no stream listeners.
    streams: Option<Streams>,
    revocations_lost: AtomicU64,
    failed: Arc<AtomicBool>,
}

impl Relay {
    /// Binds all addresses, opens the first relay ports and starts the workers.
    /// `config.core.listeners` is filled in.
    ///
    /// # Errors
    /// What is in the way; nothing is left running then.
    pub fn start(mut config: RelayConfig, clock: Clock) -> Result<Self, StartError> {
        check(&config)?;
        let open_files = sys::raise_open_files()
            .map_err(|error| StartError::of("ask for the limit of open files", error))?;
        let mut notes = Vec::new();
        let has_offload = socket::has_offload();
        let has_offload = has_offload.map_err(|error| StartError::of("make a socket", error))?;
        if config.limits.offload && !has_offload {
            config.limits.offload = false;
            notes.push(Note::NoOffload);
        }
        let listening = listen::listen(&config, &mut notes)?;
        let streams = config.streams.clone();
        let plan = Plan::new(config, &listening, clock);
        notes.extend(plan.notes(&listening, open_files)?);
        let listeners: Vec<_> = listening.iter().map(|one| one.address).collect();
        let (datagrams, accepting) = split(listening, &streams);
        let runtime = match accepting.is_empty() {
            true => None,
            false => Some(Streams::runtime(plan.workers)?),
        };
        let handle = runtime.as_ref().map(|runtime| runtime.handle());
        let Crew { workers, boards, controls, doors } = plan.crew(datagrams, handle)?;

        let failed = Arc::new(AtomicBool::new(false));
        let mut relay = Self {
            listeners,
            notes,
            boards,
            controls,
            threads: Vec::new(),
            streams: None,
            revocations_lost: AtomicU64::new(0),
            failed: Arc::clone(&failed),
        };
        for (number, worker) in workers.into_iter().enumerate() {
            let thread = spawn(number, Arc::clone(&relay.failed), || worker.run());
            let thread = thread.map_err(|error| StartError::of("start a thread", error))?;
            relay.threads.push(thread);
        }
        if let Some(runtime) = runtime {
            let batch = plan.limits.batch_datagrams;
            let started = Streams::start(&streams, batch, accepting, doors, failed, runtime);
            relay.streams = Some(started?);
        }
        tracing::info!(
            workers = relay.threads.len(),
            listeners = relay.listeners.len(),
            "relay runs"
        );
        Ok(relay)
    }

    /// The listening addresses, wildcards expanded: those of [`RelayConfig::listen`] in its order,
    /// then those of [`RelayConfig::streams`].
    #[must_use]
    pub fn listeners(&self) -> &[ListenerAddress] {
        &self.listeners
    }

    /// What the relay chose, or got less of than it asked for: for the operator to read.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Every counter, summed over the workers; no older than `Limits::counters_age`. No worker
    /// waits for it.
    #[must_use]
    pub fn counters(&self) -> Vec<Sample> {
        let mut samples = Board::sum(self.boards.iter().map(Arc::as_ref));
        let lost = self.revocations_lost.load(Ordering::Relaxed);
        samples.push(Sample::counter("relay_revocations_lost", REVOCATIONS_LOST, lost));
        samples.extend(self.streams.iter().flat_map(Streams::samples));
        samples
    }

    /// Ends the live allocations that are meant, at all workers, and refuses their credentials from
    /// then on: those of a seat all, else each worker those that it knows
    /// ([`Self::revoke_counted`] has them agree). Doesn't wait; it takes less than 200 ms.
    ///
    /// Returns whether every worker had room for the order; one that hadn't leaves the allocations
    /// to their lifetime. That is counted.
    pub fn revoke(&self, revoke: &Revoke) -> bool {
        // Every worker is told, whatever the others say.
        let refused = self
            .controls
            .iter()
            .filter(|one| !one.order(Order::Revoke(revoke.clone(), None, None)));
        let refused = refused.count();
        self.revocations_lost.fetch_add(refused as u64, Ordering::Relaxed);
        refused == 0
    }

    /// Whether a worker ended by a panic or an error. Its clients are cut off: end the process,
    /// loudly.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Ends all workers after their current turn, which closes all sockets, and waits for them.
    ///
    /// # Errors
    /// [`WorkerFailed`] if one had ended before, see [`Self::failed`].
    pub fn shutdown(mut self) -> Result<(), WorkerFailed> {
        self.stop();
        if self.failed() { Err(WorkerFailed) } else { Ok(()) }
    }

    fn stop(&mut self) {
        if let Some(mut streams) = self.streams.take() {
            streams.stop();
        }
        for control in &self.controls {
            control.stop();
        }
        for thread in self.threads.drain(..) {
            // A panic was noticed in the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

const REVOCATIONS_LOST: &str = "Orders to revoke for which a worker had no room.";

fn check(config: &RelayConfig) -> Result<(), StartError> {
    config.core.check()?;
    if !(1..=RelayConfig::WORKERS_MAX).contains(&config.workers) {
        return Err(StartError::Workers(config.workers));
    }
    let (first, last) = (*config.port_range.start(), *config.port_range.end());
    if first == 0 || first > last {
        return Err(StartError::PortRange(first, last));
    }
    match config.streams.tls.first() {
        Some(address) if config.streams.server.is_none() => {
            Err(StartError::NoCertificate(*address))
        }
        Some(_) | None => Ok(()),
    }
}

/// The sockets of the workers, and those that accept streams.
fn split(
    listening: Vec<Listening>,
    streams: &StreamConfig,
) -> (Vec<Vec<UdpSocket>>, Vec<StreamListener>) {
    let (mut datagrams, mut accepting) = (Vec::new(), Vec::new());
    for (id, one) in (0..).map(ListenerId).zip(listening) {
        match one.sockets {
            Sockets::Udp(sockets) => datagrams.push(sockets),
            Sockets::Stream(socket) => {
                let is_tls = one.address.transport == Transport::Tls;
                let shared = streams
                    .https
                    .as_ref()
                    .is_some_and(|share| share.addresses.contains(&one.asked));
                accepting.push(StreamListener { id, socket, is_tls, is_shared: is_tls && shared });
            }
        }
    }
    (datagrams, accepting)
}

/// What all workers have in common.
struct Plan {
    core: Arc<relay_core::Config>,
    relay_ips: Vec<RelayIp>,
    relayed: Arc<RelayedPorts>,
    ledger: Arc<Ledger>,
    shelf: Arc<Shelf>,
    tcp_ledger: Arc<Ledger>,
    port_range: (u16, u16),
    stock_ports: usize,
    workers: usize,
    limits: Limits,
    stream_limits: StreamLimits,
    clock: Clock,
}

/// The workers, and how to reach them.
struct Crew {
    workers: Vec<Worker>,
    boards: Vec<Arc<Board>>,
    controls: Vec<Arc<Control>>,
    doors: Vec<Door>,
}

impl Plan {
    fn new(config: RelayConfig, listening: &[Listening], clock: Clock) -> Self {
        let RelayConfig { mut core, port_range, workers, limits, streams, .. } = config;
        let limits = limits.workable();
        let mut relay_ips = Vec::new();
        core.listeners.clear();
        for address in listening.iter().map(|one| one.address) {
            let ListenerAddress { bound, advertised, transport } = address;
            core.listeners.push(Listener { local: bound, advertised, transport });
            if advertised != bound {
                core.never_peers.push(advertised);
            }
            let ip = RelayIp { bound: bound.ip(), advertised: advertised.ip() };
            if !relay_ips.contains(&ip) {
                relay_ips.push(ip);
            }
        }
        let advertised = || relay_ips.iter().map(|ip| ip.advertised);
        let relayed = RelayedPorts::new(advertised());
        let ledger = || Ledger::new(advertised(), port_range.clone(), limits.port_rest);
        let (ledger, tcp_ledger) = (ledger(), ledger());
        let share = ledger.ports() / relay_ips.len() / workers / STOCK_SHARE;
        Self {
            core: Arc::new(core),
            relayed: Arc::new(relayed),
            ledger: Arc::new(ledger),
            shelf: Arc::default(),
            tcp_ledger: Arc::new(tcp_ledger),
            port_range: (*port_range.start(), *port_range.end()),
            stock_ports: limits.stock_ports.min(share).max(1),
            relay_ips,
            workers,
            limits,
            stream_limits: streams.limits.workable(),
            clock,
        }
    }

    fn notes(&self, listening: &[Listening], open_files: u64) -> Result<Vec<Note>, StartError> {
        let mut notes = Vec::new();
        if let Some(Sockets::Udp(sockets)) = listening.first().map(|one| &one.sockets) {
            let socket = sockets.first().expect("one for each worker");
            let smaller = socket::buffer_notes(socket, &self.limits);
            notes.extend(smaller.map_err(|error| StartError::of("read socket options", error))?);
        }
        let ports = self.ledger.ports() as u64;
        if open_files < ports {
            notes.push(Note::OpenFiles { limit: open_files, ports });
        }
        Ok(notes)
    }

    /// With a runtime, that of the stream clients, there are TCP allocations.
    fn crew(
        &self,
        datagrams: Vec<Vec<UdpSocket>>,
        runtime: Option<&Handle>,
    ) -> Result<Crew, StartError> {
        let handovers =
            Handover::between(self.workers, self.limits.handover_batches, self.limits.orders)
                .map_err(|error| StartError::of("make an eventfd", error))?;
        let controls: Vec<_> = handovers.iter().map(|one| Arc::clone(one.control())).collect();
        let boards: Vec<_> = handovers.iter().map(|_| Arc::new(Board::new())).collect();
        let first_stream = u16::try_from(datagrams.len()).unwrap_or(u16::MAX);
        let mut sockets: Vec<_> = datagrams.into_iter().map(Vec::into_iter).collect();
        let (mut workers, mut doors) = (Vec::new(), Vec::new());
        let StreamLimits { arrivals, arrivals_turn, .. } = self.stream_limits;
        let places = Arc::new(Semaphore::new(self.stream_limits.peer_connections_max));
        for (number, (handover, board)) in handovers.into_iter().zip(&boards).enumerate() {
            let listeners = sockets.iter_mut().filter_map(Iterator::next).collect();
            let (queue, arrivals) = tokio::sync::mpsc::channel(arrivals);
            let door = Door::new(queue, Arc::clone(&controls[number]));
            doors.push(door.clone());
            let random = StdRng::from_seed(random()?);
            let peers = runtime.map(|runtime| {
                let (runtime, places) = (runtime.clone(), Arc::clone(&places));
                let ledger = Arc::clone(&self.tcp_ledger);
                let stock = TcpStock::new(&self.relay_ips, ledger, random, self.limits);
                let ties = Ties { runtime, door, places, limits: self.stream_limits };
                PeerPorts::new(stock, ties)
            });
            let engine = self.engine(number, listeners, peers)?;
            let streams = (StreamClients::new(arrivals, first_stream), arrivals_turn);
            let (clock, board) = (self.clock, Arc::clone(board));
            let worker = Worker::new(engine, handover, streams, clock, self.limits, board);
            workers.push(worker.map_err(|error| StartError::of("set up epoll", error))?);
        }
        Ok(Crew { workers, boards, controls, doors })
    }

    fn engine(
        &self,
        number: usize,
        listeners: Vec<UdpSocket>,
        peers: Option<PeerPorts>,
    ) -> Result<Engine, StartError> {
        let worker = WorkerId(u8::try_from(number).expect("at most WORKERS_MAX workers"));
        let (core, relayed) = (Arc::clone(&self.core), Arc::clone(&self.relayed));
        let server = Server::new(core, worker, relayed, random()?);
        let random = StdRng::from_seed(random()?);
        let (ledger, shelf) = (Arc::clone(&self.ledger), Arc::clone(&self.shelf));
        let (ips, stock) = (&self.relay_ips, self.stock_ports);
        let ports = Ports::new(ips, stock, ledger, shelf, random, self.limits);
        let mut engine = Poller::new(self.limits.turn_sockets)
            .and_then(|poller| Engine::new(poller, server, listeners, ports, peers, self.limits))
            .map_err(|error| StartError::of("set up epoll", error))?;
        let (first, last) = self.port_range;
        let refilled = engine.try_refill(self.clock.now().time);
        refilled.map_err(|RefillError { ip, error }| {
            if error.kind() == io::ErrorKind::AddrInUse {
                return StartError::NoFreePort { ip, first, last };
            }
            StartError::of("open a relay port", error)
        })?;
        Ok(engine)
    }
}

/// The stocks of all workers together hold at most one part in this many of an address's ports.
const STOCK_SHARE: usize = 4;

fn random() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| StartError::of("read random bytes", io::Error::other(error)))?;
    Ok(bytes)
}

/// Runs a worker on a thread of its own, pinned to a CPU. However it fails, `failed` tells.
fn spawn(
    number: usize,
    failed: Arc<AtomicBool>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("relay-{number}")).spawn(move || {
        let alarm = Alarm { number, failed };
        if let Err(error) = sys::pin_thread(number) {
            tracing::debug!(number, %error, "worker runs on any CPU");
        }
        match run() {
            Ok(()) => std::mem::forget(alarm),
            Err(error) => tracing::error!(number, %error, "relay worker cannot go on"),
        }
    })
}

/// Tells that a worker failed, unless it is forgotten first.
struct Alarm {
    number: usize,
    failed: Arc<AtomicBool>,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.failed.store(true, Ordering::Release);
        tracing::error!(number = self.number, "relay worker ended: its clients are cut off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(run: impl FnOnce() -> io::Result<()> + Send + 'static) -> bool {
        let failed = Arc::new(AtomicBool::new(false));
        let _ = spawn(0, Arc::clone(&failed), run).unwrap().join();
        failed.load(Ordering::Acquire)
    }

    #[test]
    fn no_worker_ends_silently() {
        assert!(outcome(|| panic!("this panic is part of the test")));
        assert!(outcome(|| Err(io::ErrorKind::OutOfMemory.into())));
        assert!(!outcome(|| Ok(())));
    }
}
