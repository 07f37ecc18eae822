//! One worker thread: receives in batches, asks the core, sends in batches.

use crate::config::Limits;
use crate::engine::Engine;
use crate::handover::{Handover, Packet, Way};
use crate::io::{Inbox, Outbox, Ready, SendFailure, SendFailures, sys};
use crate::metrics::Board;
use crate::moderation::Moderation;
use crate::streams::{Arrival, StreamClients, messages};
use heliograph_base::{Clock, Now, Time};
use relay_core::{At, IcmpError, PortId, Received, Scratch, Verdict};
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// All that one worker thread has. Others reach it by its [`Handover`] and see its [`Board`],
/// nothing else is shared.
#[derive(Debug)]
pub(crate) struct Worker {
    engine: Engine,
    handover: Handover,
    streams: StreamClients,
    clock: Clock,
    limits: Limits,
    arrivals_turn: usize,
    inbox: Inbox,
    outbox: Outbox<'static>,
    scratches: Vec<Scratch>,
    /// ICMP errors of the port whose turn it is.
    icmp: Vec<(PortId, SocketAddr, IcmpError)>,
    arrivals: Vec<Arrival>,
    moderation: Moderation,
    /// The messages handled in this turn.
    handled: usize,
    /// Listeners that gave all that one may at once in this turn, and so have more.
    backlogged: VecDeque<At>,
    board: Arc<Board>,
    /// When the board was last written.
    shown: Time,
    /// Whether anything happened since.
    board_is_stale: bool,
}

/// The most ICMP errors taken off a socket in one turn.
const ICMP_ERRORS_TURN: usize = 16;

impl Worker {
    pub(crate) fn new(
        engine: Engine,
        handover: Handover,
        (streams, arrivals_turn): (StreamClients, usize),
        clock: Clock,
        limits: Limits,
        board: Arc<Board>,
    ) -> io::Result<Self> {
        engine.poller.watch_bell(handover.bell().as_fd())?;
        let room = limits.outcome_datagrams;
        Ok(Self {
            engine,
            handover,
            streams,
            clock,
            limits,
            arrivals_turn,
            inbox: Inbox::new(limits.batch_datagrams),
            outbox: Outbox::new(room, limits.offload),
            scratches: vec![Scratch::new(); room],
            icmp: Vec::with_capacity(ICMP_ERRORS_TURN),
            arrivals: Vec::new(),
            moderation: Moderation::new(limits.pause, limits.socket_datagrams),
            handled: 0,
            backlogged: VecDeque::new(),
            board,
            shown: Time::START,
            board_is_stale: true,
        })
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// What the kernel says if it can't tell any more which sockets are ready.
    pub(crate) fn run(mut self) -> io::Result<()> {
        sys::sleep_precisely()?;
        let mut now = self.clock.now();
        while !self.handover.is_stopped() {
            let ready = self.engine.poller.wait(self.patience(now.time))?;
            now = self.clock.now();
            for place in 0..ready {
                match self.engine.poller.ready(place) {
                    Ready::Bell => self.handle_bell(now),
                    Ready::Socket { at, error } => self.receive(now, at, error),
                }
            }
            self.handle_inbox(now);
            self.backlogged.clear();
            self.engine.counters.turns += 1;
            self.board_is_stale |= ready > 0;
            self.show_counters(now.time);
            if let Some(pause) = self.moderation.pause_after(now.time, mem::take(&mut self.handled))
            {
                thread::sleep(pause);
            }
        }
        Ok(())
    }

    /// How long nothing needs to be done if nothing comes in.
    fn patience(&self, now: Time) -> Option<Duration> {
        let show = self.board_is_stale.then(|| self.shown + self.limits.counters_age);
        let due = [self.engine.poll_timeout(), show].into_iter().flatten().min()?;
        Some(due.since(now))
    }

    /// Adds what waits at one socket to the batch; a full batch is handled first.
    fn receive(&mut self, now: Now, at: At, error: bool) {
        if self.inbox.room() < self.limits.socket_datagrams {
            self.handle_inbox(now);
            // One listener stands for many clients: as many of its datagrams as of all the ports.
            if let Some(listener) = self.backlogged.pop_front() {
                self.take_in(now, listener, false);
            }
        }
        self.take_in(now, at, error);
    }

    /// Adds what waits at one socket to the batch, for which there is room.
    fn take_in(&mut self, now: Now, at: At, error: bool) {
        // The allocation may have ended since the socket was ready.
        let Some(socket) = self.engine.socket(at) else {
            return;
        };
        let mut errors = 0;
        if let (At::Port(port), true) = (at, error) {
            errors = sys::take_icmp_errors(socket, ICMP_ERRORS_TURN, |to, error| {
                self.icmp.push((port, to, error));
            });
        }
        let received = self.inbox.receive(socket, at, self.limits.socket_datagrams);
        self.engine.counters.icmp_errors += errors as u64;
        match received {
            Ok(count) if count == self.limits.socket_datagrams => self.note_backlog(at),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.engine.counters.receive_failures += 1,
        }
        if !self.icmp.is_empty() {
            self.handle_icmp(now);
        }
    }

    fn note_backlog(&mut self, at: At) {
        if matches!(at, At::Listener(_)) && !self.backlogged.contains(&at) {
            self.backlogged.push_back(at);
        }
    }

    /// Tells clients of the ICMP errors of one port.
    fn handle_icmp(&mut self, now: Now) {
        let mut outbox = mem::take(&mut self.outbox).cleared();
        for ((port, to, error), scratch) in self.icmp.drain(..).zip(&mut self.scratches) {
            let verdict = self.engine.handle_icmp(now, port, to, error, scratch);
            let ways = Ways { handover: &mut self.handover, streams: &mut self.streams };
            dispatch(verdict, &mut outbox, ways, &mut self.engine.counters.send_failures);
        }
        self.outbox = send(outbox, &mut self.engine);
        self.pass_on();
    }

    /// Handles the batch, sends what it gives, then does what could wait.
    fn handle_inbox(&mut self, now: Now) {
        let mut datagrams = self.inbox.datagrams().peekable();
        // A batch of trains is more datagrams than there are scratches.
        while datagrams.peek().is_some() {
            let mut outbox = mem::take(&mut self.outbox).cleared();
            for (scratch, received) in self.scratches.iter_mut().zip(&mut datagrams) {
                self.handled += 1;
                let verdict = self.engine.handle(now, received, scratch);
                let ways = Ways { handover: &mut self.handover, streams: &mut self.streams };
                dispatch(verdict, &mut outbox, ways, &mut self.engine.counters.send_failures);
            }
            self.outbox = send(outbox, &mut self.engine);
            self.engine.counters.handover_full += self.handover.send() as u64;
        }
        drop(datagrams);
        if !self.inbox.is_empty() {
            self.inbox.clear();
            self.pass_on();
        }
        self.engine.keep_house(now);
    }

    /// Handles what other threads have for this one. What is left when its turn is over rings
    /// again.
    fn handle_bell(&mut self, now: Now) {
        self.handover.bell().answer();
        while let Some(order) = self.handover.next_order() {
            order.carry_out(now, &mut self.engine);
        }
        let parcels_left = self.handle_parcels(now);
        let arrivals_left = self.handle_arrivals(now);
        if parcels_left || arrivals_left {
            self.handover.bell().ring();
        }
    }

    /// Handles what other workers handed over; whether there may be more.
    fn handle_parcels(&mut self, now: Now) -> bool {
        for _ in 0..self.limits.handover_turn_batches {
            let Some(parcel) = self.handover.receive() else {
                return false;
            };
            let mut outbox = mem::take(&mut self.outbox).cleared();
            for (packet, scratch) in parcel.packets().zip(&mut self.scratches) {
                self.handled += 1;
                let verdict = self.engine.handle_handover(now, &packet, scratch);
                let ways = Ways { handover: &mut self.handover, streams: &mut self.streams };
                dispatch(verdict, &mut outbox, ways, &mut self.engine.counters.send_failures);
            }
            self.outbox = send(outbox, &mut self.engine);
            self.handover.give_back(parcel);
            self.pass_on();
        }
        true
    }

    /// Handles what stream clients sent, in batches; whether there may be more.
    fn handle_arrivals(&mut self, now: Now) -> bool {
        let mut batch = mem::take(&mut self.arrivals);
        let (mut messages, mut more) = (0, true);
        for _ in 0..self.arrivals_turn {
            let Some(arrival) = self.streams.receive() else {
                more = false;
                break;
            };
            self.handled += arrival.messages();
            if messages + arrival.messages() > self.scratches.len() {
                self.handle_batch(now, &mut batch);
                batch.clear();
                messages = 0;
            }
            messages += arrival.messages();
            batch.push(arrival);
        }
        self.handle_batch(now, &mut batch);
        batch.clear();
        self.arrivals = batch;
        more
    }

    fn handle_batch(&mut self, now: Now, batch: &mut [Arrival]) {
        let mut outbox = mem::take(&mut self.outbox).cleared();
        let mut scratches = self.scratches.iter_mut();
        for arrival in batch {
            match arrival {
                Arrival::Opened { client, number, lane } => {
                    let closed = self.streams.open(*client, *number, Arc::clone(lane));
                    self.engine.handle_closed(now, *client, closed);
                }
                Arrival::Gone { client, number } => {
                    let closed = self.streams.close(*client, *number);
                    self.engine.handle_closed(now, *client, closed);
                }
                Arrival::Messages { client, number, bytes, .. } => {
                    if !self.streams.is_open(*client, *number) {
                        continue;
                    }
                    let (at, from) = (At::Listener(client.listener), client.address);
                    for (bytes, scratch) in messages(bytes).zip(&mut scratches) {
                        let received = Received { at, from, bytes };
                        let verdict = self.engine.handle(now, received, scratch);
                        let ways =
                            Ways { handover: &mut self.handover, streams: &mut self.streams };
                        let failures = &mut self.engine.counters.send_failures;
                        dispatch(verdict, &mut outbox, ways, failures);
                    }
                }
                Arrival::PeerConnected { port, connection, peer } => {
                    let Some(scratch) = scratches.next() else { continue };
                    let (which, peer) = ((*port, *connection), peer.take());
                    let verdict = self.engine.handle_peer_connected(now, which, peer, scratch);
                    let ways = Ways { handover: &mut self.handover, streams: &mut self.streams };
                    dispatch(verdict, &mut outbox, ways, &mut self.engine.counters.send_failures);
                }
                Arrival::PeerAccepted { port, address, peer } => {
                    let (Some(scratch), Some(peer)) = (scratches.next(), peer.take()) else {
                        continue;
                    };
                    let (port, address) = (*port, *address);
                    let verdict =
                        self.engine.handle_peer_accepted(now, port, address, peer, scratch);
                    let ways = Ways { handover: &mut self.handover, streams: &mut self.streams };
                    dispatch(verdict, &mut outbox, ways, &mut self.engine.counters.send_failures);
                }
            }
        }
        self.outbox = send(outbox, &mut self.engine);
        self.pass_on();
    }

    /// Passes on what a batch gave for other threads.
    fn pass_on(&mut self) {
        self.engine.counters.handover_full += self.handover.send() as u64;
        let Self { streams, engine, .. } = self;
        while let Some((client, connection, joint)) = engine.poll_joint() {
            streams.join(client, connection, joint);
        }
        let dropped = streams.flush(|client| engine.has_allocation(client));
        engine.counters.stream_data_dropped += dropped as u64;
    }

    fn show_counters(&mut self, now: Time) {
        if self.board_is_stale && now >= self.shown + self.limits.counters_age {
            self.board.show(self.engine.core_counters(), &self.engine.counters);
            self.shown = now;
            self.board_is_stale = false;
        }
    }
}

/// Where to put what other threads send on.
struct Ways<'w> {
    handover: &'w mut Handover,
    streams: &'w mut StreamClients,
}

fn dispatch<'a>(
    verdict: Verdict<'a>,
    outbox: &mut Outbox<'a>,
    ways: Ways<'_>,
    failures: &mut SendFailures,
) {
    match verdict {
        Verdict::Send(transmit) if ways.streams.takes(transmit.via) => {
            if !ways.streams.push(&transmit) {
                failures.add(SendFailure::Closed);
            }
        }
        Verdict::Send(transmit) => outbox.push(transmit),
        Verdict::Handover { worker, from, to, body } => {
            let packet = Packet { from, way: Way::Allocation(to), body };
            ways.handover.pack(usize::from(worker.0), &packet);
        }
        Verdict::Forward { worker, forwarded } => {
            ways.handover.pack(usize::from(worker.0), &forwarded.into());
        }
        Verdict::Done | Verdict::Drop(_) => {}
    }
}

/// Sends all, and gives the room back for the next batch.
fn send(mut outbox: Outbox<'_>, engine: &mut Engine) -> Outbox<'static> {
    let mut failures = engine.counters.send_failures;
    outbox.send(|at| engine.socket(at), &mut failures);
    engine.counters.send_failures = failures;
    outbox.cleared()
}
