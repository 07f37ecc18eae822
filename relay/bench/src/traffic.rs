//! The sockets of a run, and the packets that go by them: sent by the batch, checked when they
//! come.

use crate::link::Link;
use crate::packet::{self, FlowId, Seen, Stamp};
use crate::setup::Client;
use crate::sys::{self, CALL_DATAGRAMS, Outgoing, Receiver, Sender};
use crate::turn;
use anyhow::Context as _;
use bench_kit::{Histogram, Interest, Poller};
use heliograph_base::Clock;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsFd as _;

/// What a packet is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) payload_bytes: usize,
    /// How many packets leave in one piece, cut apart by the kernel; 1: single packets.
    pub(crate) train: usize,
}

/// What came of the packets.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) repeated: u64,
    /// With bytes that were not sent, or at the wrong place.
    pub(crate) wrong: u64,
    /// Not taken by the kernel.
    pub(crate) refused: u64,
    /// Of those watched for loss and latency: all but a flood beside them.
    pub(crate) watched_sent: u64,
    pub(crate) watched_received: u64,
    pub(crate) latency: Histogram,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            sent: 0,
            received: 0,
            repeated: 0,
            wrong: 0,
            refused: 0,
            watched_sent: 0,
            watched_received: 0,
            latency: Histogram::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    sent: u64,
    seen: Seen,
}

/// All sockets of a run.
pub(crate) struct Traffic {
    pub(crate) tally: Tally,
    /// The first client whose packets count for loss and latency.
    pub(crate) watched_from: usize,
    clock: Clock,
    shape: Shape,
    clients: Vec<Link>,
    peers: Vec<UdpSocket>,
    relayed: Vec<SocketAddrV4>,
    /// The flow that each client gets.
    inward: Vec<FlowId>,
    /// The client that a relayed port belongs to.
    owners: Vec<Option<u32>>,
    flows: Vec<Flow>,
    poller: Poller,
    receiver: Receiver,
    sender: Sender,
    /// Slots for packets to send, with the pattern in place: to peers, to the server.
    plain: Vec<u8>,
    framed: Vec<u8>,
    ready: Vec<usize>,
}

/// Tokens of peers begin here, those of clients at 0.
const PEER_TOKENS: u64 = 1 << 32;

/// The longest train that the kernel merges.
const MERGED_BYTES_MAX: usize = 65_536;

impl Traffic {
    /// `peers` are shared by the clients in turn; none: the clients are each other's, first with
    /// second, third with fourth.
    pub(crate) fn new(
        clients: Vec<Client>,
        peers: Vec<UdpSocket>,
        shape: Shape,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let poller = Poller::new()?;
        let mut relayed = Vec::new();
        let mut links = Vec::new();
        for (token, Client { link, session }) in clients.into_iter().enumerate() {
            relayed.push(session.relayed()?);
            poller.add(link.as_fd(), token as u64, Interest::READS)?;
            link.set_patience(None)?;
            links.push(link);
        }
        for (token, peer) in peers.iter().enumerate() {
            poller.add(peer.as_fd(), PEER_TOKENS + token as u64, Interest::READS)?;
        }
        let among_clients = peers.is_empty();
        let inward = |client| match among_clients {
            true => FlowId::up(client ^ 1),
            false => FlowId::down(client),
        };
        let mut owners = vec![None; 1 << 16];
        for (client, relayed) in relayed.iter().enumerate() {
            owners[usize::from(relayed.port())] = Some(client as u32);
        }
        let merges = shape.train > 1;
        if merges {
            links.iter().try_for_each(|link| sys::set_merging(link.as_fd()))?;
            peers.iter().try_for_each(|peer| sys::set_merging(peer.as_fd()))?;
        }
        Ok(Self {
            tally: Tally::new(),
            watched_from: 0,
            clock,
            shape,
            inward: (0..links.len()).map(inward).collect(),
            flows: vec![Flow::default(); links.len() * 2],
            receiver: Receiver::new(
                CALL_DATAGRAMS,
                if merges {
                    MERGED_BYTES_MAX
                } else {
                    shape.payload_bytes.next_multiple_of(64) + 64
                },
            ),
            sender: Sender::default(),
            plain: slots(shape, &[]),
            framed: slots(shape, &turn::channel_header(shape.payload_bytes)),
            ready: Vec::new(),
            clients: links,
            peers,
            relayed,
            owners,
            poller,
        })
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Nanoseconds since the start of the clock.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now().time.as_nanos()
    }

    /// Takes what came, and adds to `arrived` the flow of each packet that is right and new.
    /// Waits for it if there is none.
    pub(crate) fn receive(
        &mut self,
        timeout_ms: i32,
        arrived: &mut Vec<FlowId>,
    ) -> anyhow::Result<()> {
        let ready = self.poller.wait(timeout_ms)?;
        let now_ns = self.now_ns();
        for place in 0..ready {
            let token = self.poller.ready(place).token;
            match token.checked_sub(PEER_TOKENS) {
                Some(peer) => self.receive_at_peer(peer as usize, now_ns, arrived)?,
                None => self.receive_at_client(token as usize, now_ns, arrived)?,
            }
        }
        Ok(())
    }

    fn receive_at_client(
        &mut self,
        client: usize,
        now_ns: u64,
        arrived: &mut Vec<FlowId>,
    ) -> anyhow::Result<()> {
        let Self { receiver, clients, inward, tally, flows, shape, plain, .. } = self;
        let header = turn::channel_header(shape.payload_bytes);
        let sample = &plain[..shape.payload_bytes];
        let watched_from = self.watched_from;
        let mut check = Check { tally, flows, sample, now_ns, watched_from, arrived };
        let mut handle = |message: &[u8]| {
            let payload = message.strip_prefix(&header);
            check.handle(Some(inward[client]), payload.unwrap_or_default());
        };
        match &mut clients[client] {
            Link::Udp(socket) => {
                if take(receiver, socket)? {
                    for datagram in receiver.datagrams() {
                        datagram.bytes.chunks(datagram.segment_bytes.max(1)).for_each(&mut handle);
                    }
                    receiver.clear();
                }
                Ok(())
            }
            Link::Stream(stream) => stream.receive(handle).context("the server hangs up"),
        }
    }

    fn receive_at_peer(
        &mut self,
        peer: usize,
        now_ns: u64,
        arrived: &mut Vec<FlowId>,
    ) -> anyhow::Result<()> {
        let Self { receiver, peers, owners, tally, flows, shape, relayed, plain, .. } = self;
        if !take(receiver, &peers[peer])? {
            return Ok(());
        }
        let sample = &plain[..shape.payload_bytes];
        let watched_from = self.watched_from;
        let mut check = Check { tally, flows, sample, now_ns, watched_from, arrived };
        for datagram in receiver.datagrams() {
            let owner = owners[usize::from(datagram.from.port())].map(|owner| owner as usize);
            let owner = owner.filter(|owner| relayed[*owner] == datagram.from);
            for payload in datagram.bytes.chunks(datagram.segment_bytes.max(1)) {
                check.handle(owner.map(FlowId::up), payload);
            }
        }
        receiver.clear();
        Ok(())
    }

    /// Has a client send a packet, or a train, on its channel.
    pub(crate) fn send_up(&mut self, client: usize, now_ns: u64) -> anyhow::Result<()> {
        let watched_from = self.watched_from;
        let Self { shape, framed, flows, tally, sender, clients, .. } = self;
        let flow = FlowId::up(client);
        let stride = 4 + shape.payload_bytes;
        let slot = &mut framed[..stride * shape.train];
        stamp(slot, stride, 4, flow, &mut flows[flow.index()], now_ns);
        let mut error = None;
        if shape.train == 1 {
            error = clients[client].send(slot).err();
        } else {
            let train =
                Outgoing { to: None, head: &[], body: slot, segment_bytes: stride, skip: 0 };
            let failed = |_, failure| error = Some(failure);
            sender.send(clients[client].as_fd(), [train].into_iter(), failed);
        }
        match error {
            None => tally.send(shape.train, client >= watched_from),
            Some(error) => tally.refuse(error, shape.train)?,
        }
        Ok(())
    }

    /// Has peers send a packet, or a train, to each of these clients.
    pub(crate) fn send_down(&mut self, to: &[FlowId], now_ns: u64) -> anyhow::Result<()> {
        for peer in 0..self.peers.len() {
            let Self { ready, peers, .. } = self;
            ready.clear();
            let clients = to.iter().map(|flow| flow.client());
            ready.extend(clients.filter(|client| client % peers.len() == peer));
            for begin in (0..self.ready.len()).step_by(CALL_DATAGRAMS) {
                self.send_batch(peer, begin, now_ns)?;
            }
        }
        Ok(())
    }

    fn send_batch(&mut self, peer: usize, begin: usize, now_ns: u64) -> anyhow::Result<()> {
        let watched_from = self.watched_from;
        let Self { shape, plain, flows, tally, sender, peers, ready, relayed, .. } = self;
        let ready = &ready[begin..];
        let ready = &ready[..ready.len().min(CALL_DATAGRAMS)];
        let slot_bytes = shape.payload_bytes * shape.train;
        for (client, slot) in ready.iter().zip(plain.chunks_exact_mut(slot_bytes)) {
            let flow = FlowId::down(*client);
            stamp(slot, shape.payload_bytes, 0, flow, &mut flows[flow.index()], now_ns);
        }
        let messages = ready.iter().zip(plain.chunks_exact(slot_bytes)).map(|(client, body)| {
            let (to, segment_bytes) = (Some(relayed[*client]), shape.payload_bytes);
            Outgoing { to, head: &[], body, segment_bytes, skip: 0 }
        });
        let (mut refused, mut failure) = (0, None);
        sender.send(peers[peer].as_fd(), messages, |_, error| {
            refused += 1;
            failure = Some(error);
        });
        let is_watched = ready.iter().all(|client| *client >= watched_from);
        tally.send((ready.len() - refused) * shape.train, is_watched);
        failure.map_or(Ok(()), |error| tally.refuse(error, refused * shape.train))
    }
}

impl Tally {
    pub(crate) fn send(&mut self, packets: usize, is_watched: bool) {
        self.sent += packets as u64;
        if is_watched {
            self.watched_sent += packets as u64;
        }
    }

    /// A packet that the kernel has no room for is lost; anything else ends the run.
    pub(crate) fn refuse(&mut self, error: io::Error, packets: usize) -> anyhow::Result<()> {
        self.refused += packets as u64;
        let is_full = error.kind() == io::ErrorKind::WouldBlock
            || error.raw_os_error() == Some(libc::ENOBUFS);
        if is_full { Ok(()) } else { Err(error).context("cannot send: has the server ended?") }
    }
}

/// What is looked at in each packet that comes.
struct Check<'t> {
    tally: &'t mut Tally,
    flows: &'t mut [Flow],
    /// A payload: all of them differ in their stamp only.
    sample: &'t [u8],
    now_ns: u64,
    watched_from: usize,
    arrived: &'t mut Vec<FlowId>,
}

impl Check<'_> {
    /// `flow` is the one whose packets come where this one did.
    fn handle(&mut self, flow: Option<FlowId>, payload: &[u8]) {
        let stamp = Stamp::read(payload).filter(|stamp| {
            Some(stamp.flow) == flow
                && stamp.number < self.flows[stamp.flow.index()].sent
                && payload[Stamp::BYTES..] == self.sample[Stamp::BYTES..]
        });
        let Some(stamp) = stamp else {
            self.tally.wrong += 1;
            return;
        };
        if !self.flows[stamp.flow.index()].seen.insert(stamp.number) {
            self.tally.repeated += 1;
            return;
        }
        self.tally.received += 1;
        if stamp.flow.client() >= self.watched_from {
            self.tally.watched_received += 1;
            self.tally.latency.add(self.now_ns.saturating_sub(stamp.sent_ns));
        }
        self.arrived.push(stamp.flow);
    }
}

/// Whether anything came.
pub(crate) fn take(receiver: &mut Receiver, socket: &UdpSocket) -> anyhow::Result<bool> {
    match receiver.receive(socket.as_fd(), CALL_DATAGRAMS) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error).context("cannot receive: has the server ended?"),
    }
}

/// Stamps each packet of a slot, `skip` bytes into it.
fn stamp(slot: &mut [u8], stride: usize, skip: usize, id: FlowId, flow: &mut Flow, sent_ns: u64) {
    for packet in slot.chunks_exact_mut(stride) {
        Stamp { flow: id, number: flow.sent, sent_ns }.write(&mut packet[skip..]);
        flow.sent += 1;
    }
}

/// Room for one call's packets or trains, all but the stamps written.
fn slots(shape: Shape, header: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; header.len() + shape.payload_bytes];
    packet[..header.len()].copy_from_slice(header);
    packet::fill(&mut packet[header.len()..]);
    packet.repeat(shape.train * CALL_DATAGRAMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_misled_or_repeated_is_seen() {
        let shape = Shape { payload_bytes: 100, train: 1 };
        let sample = &slots(shape, &[])[..100];
        let mut flows = [Flow { sent: 3, seen: Seen::default() }; 2];
        let (mut tally, mut arrived) = (Tally::new(), Vec::new());
        let payload = |flow, number| {
            let mut payload = sample.to_vec();
            Stamp { flow, number, sent_ns: 0 }.write(&mut payload);
            payload
        };
        let (up, down) = (FlowId::up(0), FlowId::down(0));
        let right = payload(up, 0);
        let mut damaged = payload(up, 1);
        damaged[99] ^= 1;
        let short = &payload(up, 1)[..99];
        for (at, payload) in [
            (Some(up), &right[..]),
            (Some(up), &right),
            (Some(up), &damaged),
            (Some(up), short),
            (Some(up), &[]),
            (Some(up), &payload(up, 3)),
            (Some(up), &payload(down, 0)),
            (None, &payload(up, 1)),
        ] {
            Check {
                tally: &mut tally,
                flows: &mut flows,
                sample,
                now_ns: 0,
                watched_from: 0,
                arrived: &mut arrived,
            }
            .handle(at, payload);
        }
        assert_eq!((tally.received, tally.repeated, tally.wrong), (1, 1, 6));
        assert_eq!(arrived, [up]);
    }
}
