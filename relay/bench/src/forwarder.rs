//! The bare forwarder: what a TURN server costs without TURN.
//!
//! One socket for all clients and one more for each client, as a TURN server has, and batches over
//! all ready sockets. It looks a client up by its address and takes the four bytes before the data
//! off or puts them on. Nothing is checked. It speaks [`Language::Bare`](crate::turn::Language).

use crate::link;
use crate::sys::{self, CALL_DATAGRAMS, Outgoing, Receiver, Sender};
use crate::turn::channel_header;
use ahash::RandomState;
use anyhow::bail;
use bench_kit::{Interest, Poller};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd as _;

/// Runs until it is killed. `merges`: trains stay whole on their way through (UDP_GRO,
/// UDP_SEGMENT).
///
/// # Errors
/// No sockets.
pub(crate) fn run(
    ip: Ipv4Addr,
    merges: bool,
    ready: impl FnOnce(SocketAddrV4),
) -> anyhow::Result<()> {
    let mut forwarder = Forwarder::new(ip, merges)?;
    ready(v4(&forwarder.listener)?);
    loop {
        forwarder.turn()?;
    }
}

struct Forwarder {
    ip: Ipv4Addr,
    merges: bool,
    listener: UdpSocket,
    upstreams: Vec<Upstream>,
    clients: HashMap<SocketAddrV4, usize, RandomState>,
    poller: Poller,
    receiver: Receiver,
    /// For each datagram received: [`LISTENER`], or its upstream's place.
    origins: Vec<usize>,
    pieces: Vec<Piece>,
    sender: Sender,
}

struct Upstream {
    socket: UdpSocket,
    client: SocketAddrV4,
    peer: SocketAddrV4,
}

/// What leaves as one datagram or as one train of equal ones; sorts by the socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    /// As in [`Forwarder::origins`].
    by: usize,
    /// Which of the datagrams received, and the part of it.
    place: usize,
    begin: usize,
    end: usize,
    segment_bytes: usize,
}

/// ChannelData begins so, or higher; requests lower.
const FIRST_OF_DATA: u8 = 0x40;
const HEADER_BYTES: usize = 4;

const LISTENER: usize = usize::MAX;

/// The most that one socket gives at once, so that it is the others' turn, as with our relay.
const SOCKET_DATAGRAMS: usize = CALL_DATAGRAMS / 2;

const DATAGRAM_BYTES_MAX: usize = 65_536;

/// The most the kernel cuts one send into, as far as a datagram goes.
const SEGMENTS_MAX: usize = 64;
const TRAIN_BYTES_MAX: usize = 65_507;

impl Forwarder {
    fn new(ip: Ipv4Addr, merges: bool) -> anyhow::Result<Self> {
        let (listener, poller) = (link::socket(ip)?, Poller::new()?);
        if merges {
            sys::set_merging(listener.as_fd())?;
        }
        poller.add(listener.as_fd(), LISTENER as u64, Interest::READS)?;
        Ok(Self {
            ip,
            merges,
            listener,
            upstreams: Vec::new(),
            clients: HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4)),
            poller,
            receiver: Receiver::new(CALL_DATAGRAMS, DATAGRAM_BYTES_MAX),
            origins: Vec::with_capacity(CALL_DATAGRAMS),
            pieces: Vec::with_capacity(CALL_DATAGRAMS),
            sender: Sender::default(),
        })
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let mut is_backlogged = false;
        for place in 0..self.poller.wait(-1)? {
            if self.receiver.room() < SOCKET_DATAGRAMS {
                self.forward()?;
                // Else hundreds of ready upstream sockets would starve it.
                if is_backlogged {
                    is_backlogged = self.receive(LISTENER) == SOCKET_DATAGRAMS;
                }
            }
            let origin = self.poller.ready(place).token as usize;
            let received = self.receive(origin);
            is_backlogged |= origin == LISTENER && received == SOCKET_DATAGRAMS;
        }
        self.forward()
    }

    fn receive(&mut self, origin: usize) -> usize {
        let socket = match origin {
            LISTENER => &self.listener,
            upstream => &self.upstreams[upstream].socket,
        };
        // An error is an ICMP error about an earlier datagram.
        let received = self.receiver.receive(socket.as_fd(), SOCKET_DATAGRAMS).unwrap_or(0);
        self.origins.extend(std::iter::repeat_n(origin, received));
        received
    }

    /// Sends on what was received.
    fn forward(&mut self) -> anyhow::Result<()> {
        self.pieces.clear();
        for place in 0..self.receiver.len() {
            self.route(place)?;
        }
        self.pieces.sort_unstable();
        for group in self.pieces.chunk_by(|a, b| a.by == b.by) {
            for group in group.chunks(CALL_DATAGRAMS) {
                let Self { receiver, origins, upstreams, listener, sender, .. } = self;
                match group[0].by {
                    LISTENER => to_clients(sender, listener, receiver, group, |piece| {
                        upstreams[origins[piece.place]].client
                    }),
                    upstream => to_peer(sender, &upstreams[upstream], receiver, group),
                }
            }
        }
        self.receiver.clear();
        self.origins.clear();
        Ok(())
    }

    /// Decides what leaves by which socket.
    fn route(&mut self, place: usize) -> anyhow::Result<()> {
        let datagram = self.receiver.get(place);
        let segment_bytes = datagram.segment_bytes;
        let (bytes, origin) = (datagram.bytes.len(), self.origins[place]);
        let by = match origin {
            LISTENER if datagram.bytes.first().is_none_or(|first| *first < FIRST_OF_DATA) => {
                return self.handle_request(place);
            }
            LISTENER => match self.clients.get(&datagram.from) {
                Some(upstream) => *upstream,
                None => return Ok(()),
            },
            _ => LISTENER,
        };
        let mut begin = 0;
        while begin < bytes {
            let piece_bytes = match bytes - begin {
                rest if rest < segment_bytes => rest,
                rest => {
                    let most = SEGMENTS_MAX.min(TRAIN_BYTES_MAX / (segment_bytes + 4)).max(1);
                    most.min(rest / segment_bytes) * segment_bytes
                }
            };
            let end = begin + piece_bytes;
            let segment_bytes = segment_bytes.min(piece_bytes);
            self.pieces.push(Piece { by, place, begin, end, segment_bytes });
            begin = end;
        }
        Ok(())
    }

    fn handle_request(&mut self, place: usize) -> anyhow::Result<()> {
        let client = self.receiver.get(place).from;
        let upstream = match self.clients.get(&client) {
            Some(upstream) => *upstream,
            None => self.add(client)?,
        };
        let upstream = &mut self.upstreams[upstream];
        if let [1, i0, i1, i2, i3, p0, p1] = *self.receiver.get(place).bytes {
            let port = u16::from_be_bytes([p0, p1]);
            upstream.peer = SocketAddrV4::new(Ipv4Addr::new(i0, i1, i2, i3), port);
        }
        let kind = self.receiver.get(place).bytes.first().copied().unwrap_or(0);
        let own = v4(&upstream.socket)?;
        let mut answer = [kind; 7];
        answer[1..5].copy_from_slice(&own.ip().octets());
        answer[5..].copy_from_slice(&own.port().to_be_bytes());
        self.listener.send_to(&answer, client)?;
        Ok(())
    }

    fn add(&mut self, client: SocketAddrV4) -> anyhow::Result<usize> {
        let socket = link::socket(self.ip)?;
        if self.merges {
            sys::set_merging(socket.as_fd())?;
        }
        let place = self.upstreams.len();
        self.poller.add(socket.as_fd(), place as u64, Interest::READS)?;
        let peer = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        self.upstreams.push(Upstream { socket, client, peer });
        self.clients.insert(client, place);
        Ok(place)
    }
}

/// Sends pieces that came from peers, each behind the header of its channel.
fn to_clients(
    sender: &mut Sender,
    listener: &UdpSocket,
    receiver: &Receiver,
    pieces: &[Piece],
    client: impl Fn(&Piece) -> SocketAddrV4,
) {
    let mut heads = [[0; 4]; CALL_DATAGRAMS];
    for (head, piece) in heads.iter_mut().zip(pieces) {
        *head = channel_header(piece.segment_bytes);
    }
    let messages = pieces.iter().zip(&heads).map(|(piece, head)| Outgoing {
        to: Some(client(piece)),
        head,
        body: &receiver.get(piece.place).bytes[piece.begin..piece.end],
        segment_bytes: piece.segment_bytes,
        skip: 0,
    });
    // What the kernel does not take is lost.
    sender.send(listener.as_fd(), messages, |_, _| {});
}

/// Sends pieces that came from a client, without the header of the channel.
fn to_peer(sender: &mut Sender, upstream: &Upstream, receiver: &Receiver, pieces: &[Piece]) {
    let messages = pieces.iter().map(|piece| Outgoing {
        to: Some(upstream.peer),
        head: &[],
        body: &receiver.get(piece.place).bytes[piece.begin..piece.end],
        segment_bytes: piece.segment_bytes,
        skip: HEADER_BYTES.min(piece.end - piece.begin),
    });
    sender.send(upstream.socket.as_fd(), messages, |_, _| {});
}

fn v4(socket: &UdpSocket) -> anyhow::Result<SocketAddrV4> {
    match socket.local_addr()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => bail!("{address} is not IPv4"),
    }
}
