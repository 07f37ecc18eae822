//! One worker's stream clients: what they sent, and where to put what is for them.

use super::lane::Lane;
use super::peers::{Joint, Peer};
use ahash::RandomState;
use bytes::Bytes;
use relay_core::wire::{ConnectionId, STREAM_MESSAGE_BYTES_MAX, is_data, stream_message_bytes};
use relay_core::{At, ListenerId, PortId, Transmit};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;

/// Which connection it is, as the core knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamClient {
    pub(crate) listener: ListenerId,
    pub(crate) address: SocketAddr,
}

/// What a connection tells its worker.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It is there; what is for it goes into its lane.
    Opened { client: StreamClient, number: u64, lane: Arc<Lane> },
    /// It sent whole messages.
    Messages { client: StreamClient, number: u64, bytes: Bytes, messages: usize },
    /// It is gone.
    Gone { client: StreamClient, number: u64 },
    /// A peer is connected to, or could not be.
    PeerConnected { port: PortId, connection: ConnectionId, peer: Option<Peer> },
    /// A peer connected to a TCP relay port; taken out by the worker.
    PeerAccepted { port: PortId, address: SocketAddr, peer: Option<Peer> },
}

impl Arrival {
    /// How many messages it holds.
    pub(crate) fn messages(&self) -> usize {
        match self {
            Self::Opened { .. } | Self::Gone { .. } => 0,
            Self::Messages { messages, .. } => *messages,
            Self::PeerConnected { .. } | Self::PeerAccepted { .. } => 1,
        }
    }
}

/// The connections of one worker, by the client that the core knows.
#[derive(Debug)]
pub(crate) struct StreamClients {
    arrivals: Receiver<Arrival>,
    /// Listeners from this number on are streams.
    first: u16,
    clients: HashMap<StreamClient, Client, RandomState>,
    /// Those for which this batch gave something.
    touched: Vec<StreamClient>,
}

#[derive(Debug)]
struct Client {
    number: u64,
    lane: Arc<Lane>,
    answers: Vec<u8>,
    data: Vec<u8>,
    /// The peer connection that it is joined to.
    joined: Option<ConnectionId>,
}

/// A client's connection that is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    /// The peer connection that it was joined to.
    pub(crate) joined: Option<ConnectionId>,
}

/// A client's part of a batch that grew beyond this is not kept.
const KEPT_BYTES: usize = 16 << 10;

static PAD: [u8; 4] = [0; 4];

impl StreamClients {
    pub(crate) fn new(arrivals: Receiver<Arrival>, first: u16) -> Self {
        // Whoever chooses addresses to collide has to open a connection from each.
        let clients = HashMap::with_hasher(RandomState::new());
        Self { arrivals, first, clients, touched: Vec::new() }
    }

    /// The next thing that a connection tells.
    pub(crate) fn receive(&mut self) -> Option<Arrival> {
        self.arrivals.try_recv().ok()
    }

    /// Takes note of a connection; says what ended if the client had another one, whose end is yet
    /// to come.
    pub(crate) fn open(
        &mut self,
        client: StreamClient,
        number: u64,
        lane: Arc<Lane>,
    ) -> Option<Closed> {
        let new = Client { number, lane, answers: Vec::new(), data: Vec::new(), joined: None };
        let old = self.clients.insert(client, new)?;
        Some(Closed { joined: old.joined })
    }

    /// Joins a client to a peer connection, behind the answer that is pushed next or was last;
    /// whether the client is there.
    pub(crate) fn join(
        &mut self,
        client: StreamClient,
        connection: ConnectionId,
        joint: Joint,
    ) -> bool {
        let Some(known) = self.clients.get_mut(&client) else {
            return false;
        };
        known.joined = Some(connection);
        known.lane.join(joint);
        true
    }

    /// Whether this is the client's connection, not an earlier one.
    pub(crate) fn is_open(&self, client: StreamClient, number: u64) -> bool {
        self.clients.get(&client).is_some_and(|known| known.number == number)
    }

    /// Forgets a connection; says what ended if it was there.
    pub(crate) fn close(&mut self, client: StreamClient, number: u64) -> Option<Closed> {
        let known = self.clients.get(&client).filter(|known| known.number == number)?;
        let closed = Closed { joined: known.joined };
        self.clients.remove(&client);
        Some(closed)
    }

    /// Whether a transmit goes to a stream, and so to [`Self::push`].
    pub(crate) fn takes(&self, via: At) -> bool {
        match via {
            At::Listener(ListenerId(id)) => id >= self.first,
            At::Port(_) => false,
        }
    }

    /// Copies a message for its client; whether the client is there.
    pub(crate) fn push(&mut self, transmit: &Transmit<'_>) -> bool {
        let At::Listener(listener) = transmit.via else { return false };
        let client = StreamClient { listener, address: transmit.to };
        let Some(known) = self.clients.get_mut(&client) else {
            return false;
        };
        if known.answers.is_empty() && known.data.is_empty() {
            self.touched.push(client);
        }
        let Transmit { head, body, pad, .. } = *transmit;
        let queue = if is_data(head) { &mut known.data } else { &mut known.answers };
        for bytes in [head, body, &PAD[..pad]] {
            queue.extend_from_slice(bytes);
        }
        true
    }

    /// Puts what was pushed into the lanes, and says how many messages are dropped because their
    /// clients read too slowly. `allocated` knows which client has an allocation.
    pub(crate) fn flush(&mut self, allocated: impl Fn(StreamClient) -> bool) -> usize {
        let mut dropped = 0;
        for client in self.touched.drain(..) {
            // It may have gone in the same batch.
            let Some(known) = self.clients.get_mut(&client) else {
                continue;
            };
            dropped += known.lane.append(&known.answers, &known.data, allocated(client));
            for queue in [&mut known.answers, &mut known.data] {
                queue.clear();
                if queue.capacity() > KEPT_BYTES {
                    *queue = Vec::new();
                }
            }
        }
        dropped
    }
}

/// The messages of a batch, one by one.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = stream_message_bytes(bytes, STREAM_MESSAGE_BYTES_MAX).ok()??;
        let (message, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some(message)
    })
}
