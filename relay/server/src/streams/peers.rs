//! Connections of TCP allocations with peers: made, accepted, and kept until a client's data
//! connection is joined to them. RFC 6062.
//!
//! Which there may be is the core's to say. A worker owns its ports here; what waits for the
//! network runs on tokio, and ends when the worker closes the port.

use super::clients::Arrival;
use super::door::Door;
use crate::config::StreamLimits;
use crate::tcp_stock::{TakenPort, TcpStock};
use heliograph_base::Time;
use relay_core::PortId;
use relay_core::wire::ConnectionId;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// A connection with a peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(super) stream: TcpStream,
    /// Given back when it is dropped.
    _place: OwnedSemaphorePermit,
}

/// What a client's data connection is joined to.
#[derive(Debug)]
pub(crate) struct Joint {
    pub(super) peer: Peer,
    /// Closed when the allocation is gone.
    pub(super) gone: watch::Receiver<()>,
}

/// One worker's TCP relay ports.
#[derive(Debug)]
pub(crate) struct PeerPorts {
    /// Those that no allocation has yet.
    pub(crate) stock: TcpStock,
    ties: Ties,
    ports: HashMap<PortId, Port>,
}

/// What tasks for a port need.
#[derive(Clone, Debug)]
pub(crate) struct Ties {
    /// Where they run.
    pub(crate) runtime: Handle,
    /// How they reach their worker.
    pub(crate) door: Door,
    /// How many connections with peers there may be, over all workers.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) limits: StreamLimits,
}

#[derive(Debug)]
struct Port {
    bound: SocketAddr,
    advertised: SocketAddr,
    /// Dropped, it ends all that belongs to the port.
    gone: watch::Sender<()>,
    /// Those to which no client is joined yet.
    waiting: HashMap<ConnectionId, Peer>,
}

impl PeerPorts {
    pub(crate) fn new(stock: TcpStock, ties: Ties) -> Self {
        Self { stock, ties, ports: HashMap::new() }
    }

    /// Begins to listen on a port that an allocation took.
    pub(crate) fn open(&mut self, port: PortId, taken: TakenPort) -> io::Result<()> {
        let TakenPort { socket, bound, advertised } = taken;
        let (gone, is_gone) = watch::channel(());
        self.ports.insert(port, Port { bound, advertised, gone, waiting: HashMap::new() });
        socket.listen(self.ties.limits.peer_backlog)?;
        let entered = self.ties.runtime.enter();
        let listener = TcpListener::from_std(socket.into())?;
        drop(entered);
        let accept = accept(listener, port, self.ties.clone());
        self.ties.runtime.spawn(until_gone(is_gone, accept));
        Ok(())
    }

    /// Connects from a port to a peer, and tells the worker what became of it.
    pub(crate) fn connect(&self, port: PortId, connection: ConnectionId, address: SocketAddr) {
        let Some(Port { bound, gone, .. }) = self.ports.get(&port) else { return };
        let (ties, bound) = (self.ties.clone(), *bound);
        let connect = async move {
            let connecting = connect(bound, address, &ties);
            let peer = timeout(ties.limits.connect_timeout, connecting).await;
            let peer = peer.ok().and_then(Result::ok);
            ties.door.send(Arrival::PeerConnected { port, connection, peer }).await;
        };
        self.ties.runtime.spawn(until_gone(gone.subscribe(), connect));
    }

    /// Keeps a connection until a client is joined to it.
    pub(crate) fn keep(&mut self, port: PortId, connection: ConnectionId, peer: Peer) {
        if let Some(port) = self.ports.get_mut(&port) {
            port.waiting.insert(connection, peer);
        }
    }

    /// Closes a connection to which no client was joined.
    pub(crate) fn close_peer(&mut self, port: PortId, connection: ConnectionId) {
        if let Some(port) = self.ports.get_mut(&port) {
            port.waiting.remove(&connection);
        }
    }

    /// Takes a connection, to join a client to it.
    pub(crate) fn joint(&mut self, port: PortId, connection: ConnectionId) -> Option<Joint> {
        let port = self.ports.get_mut(&port)?;
        let peer = port.waiting.remove(&connection)?;
        Some(Joint { peer, gone: port.gone.subscribe() })
    }

    /// Ends a port and all of its connections; whether it is one of these.
    pub(crate) fn close(&mut self, port: PortId, now: Time) -> bool {
        let Some(closed) = self.ports.remove(&port) else { return false };
        self.stock.rest(closed.advertised, now);
        true
    }
}

async fn until_gone(mut gone: watch::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = gone.changed() => {}
        () = work => {}
    }
}

/// Hands every connection to the worker, who closes those that it doesn't want.
async fn accept(listener: TcpListener, port: PortId, ties: Ties) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let Ok(place) = Arc::clone(&ties.places).try_acquire_owned() else { continue };
                let peer = Some(Peer::new(stream, place, &ties.limits));
                let arrival = Arrival::PeerAccepted { port, address, peer };
                if !ties.door.send(arrival).await {
                    return;
                }
            }
            // The peer gave up before we came to it, or the machine has no room.
            Err(_) => sleep(super::ACCEPT_PAUSE).await,
        }
    }
}

/// RFC 6062 §5.2: "The local endpoint is the relayed transport address associated with the
/// allocation."
async fn connect(bound: SocketAddr, address: SocketAddr, ties: &Ties) -> io::Result<Peer> {
    let place = Arc::clone(&ties.places).try_acquire_owned().map_err(io::Error::other)?;
    let socket = if bound.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(bound)?;
    Ok(Peer::new(socket.connect(address).await?, place, &ties.limits))
}

impl Peer {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, limits: &StreamLimits) -> Self {
        let _ = super::tune(&stream, limits);
        Self { stream, _place: place }
    }
}
