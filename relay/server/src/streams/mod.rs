//! Clients that come by TCP and TLS: accepted, within limits, beside the workers.
//!
//! A connection is a task of tokio (`connection`), if the `gate` lets it in. It cuts whole messages
//! out of its bytes and hands them to the worker it belongs to (`door`), who handles them like
//! datagrams (`clients`) and puts what is for the client into its `lane`.
//!
//! No STUN or TURN is understood here: where a message ends is the core's to say.

mod clients;
mod connection;
mod door;
mod gate;
mod lane;
mod metrics;
mod peers;
mod splice;

pub(crate) use clients::{Arrival, Closed, StreamClient, StreamClients, messages};
pub(crate) use door::Door;
pub(crate) use peers::{Joint, Peer, PeerPorts, Ties};

use crate::config::{HttpsShare, StreamConfig, StreamLimits};
use crate::error::StartError;
use crate::io::sys;
use connection::Link;
use gate::Gate;
use heliograph_base::Sample;
use lane::Lane;
use metrics::StreamCounters;
use relay_core::ListenerId;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// The ALPN protocols of TURN over TLS, RFC 7443.
const ALPN_TURN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// The ALPN protocols of a listener that serves HTTPS too, the better one first.
const ALPN_HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How long to wait when a connection can't be accepted: the cause, such as no file descriptors
/// left, needs time to go.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A TLS connection after its handshake.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// A connection to a TLS listener whose client wants HTTPS.
#[derive(Debug)]
pub struct HttpsStream {
    /// After the handshake; nothing was read.
    pub stream: TlsStream,
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub local: SocketAddr,
}

/// A bound stream listener.
#[derive(Debug)]
pub(crate) struct StreamListener {
    pub(crate) id: ListenerId,
    pub(crate) socket: TcpListener,
    pub(crate) is_tls: bool,
    /// Whether it serves HTTPS too.
    pub(crate) is_shared: bool,
}

/// The threads of the stream clients. Dropped, it ends all connections.
#[derive(Debug)]
pub(crate) struct Streams {
    shared: Arc<Shared>,
    /// Dropped to end them.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What all connections have in common.
#[derive(Debug)]
struct Shared {
    limits: StreamLimits,
    batch_messages: usize,
    doors: Box<[Door]>,
    gate: Arc<Gate>,
    counters: StreamCounters,
    last_connection: AtomicU64,
}

impl Streams {
    /// The threads on which stream clients run.
    pub(crate) fn runtime(threads: usize) -> Result<Runtime, StartError> {
        Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("relay-streams")
            .enable_all()
            .build()
            .map_err(|error| StartError::of("start the threads of the stream clients", error))
    }

    /// Accepts from `listeners`, for the workers behind `doors`. If it can't go on, `failed` tells.
    pub(crate) fn start(
        config: &StreamConfig,
        batch_messages: usize,
        listeners: Vec<StreamListener>,
        doors: Vec<Door>,
        failed: Arc<AtomicBool>,
        runtime: Runtime,
    ) -> Result<Self, StartError> {
        let limits = config.limits.workable();
        let shared = Arc::new(Shared {
            limits,
            batch_messages,
            doors: doors.into(),
            gate: Arc::new(Gate::new(limits)),
            counters: StreamCounters::default(),
            last_connection: AtomicU64::new(0),
        });
        let start = |action| move |error| StartError::of(action, error);
        let mut accepting = Vec::new();
        for listener in listeners {
            let entered = runtime.enter();
            let socket = tokio::net::TcpListener::from_std(listener.socket)
                .map_err(start("listen for streams"))?;
            drop(entered);
            let id = listener.id;
            let tls = listener.is_tls.then(|| acceptor(config, listener.is_shared)).flatten();
            let https = config.https.clone().filter(|_| listener.is_shared);
            accepting.push(Accepting { id, socket, tls, https });
        }
        let (stop, stopped) = oneshot::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("relay-streams".to_owned())
            .spawn(move || run(&runtime, of_thread, accepting, stopped, &failed))
            .map_err(start("start a thread"))?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.shared.counters.samples(self.shared.gate.open() as u64)
    }

    /// Ends all connections, and waits until they are gone.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic was noticed in the thread itself.
            let _ = thread.join();
        }
    }
}

fn acceptor(config: &StreamConfig, is_shared: bool) -> Option<TlsAcceptor> {
    let mut server = config.server.as_deref()?.clone();
    let http = is_shared.then_some(ALPN_HTTP).into_iter().flatten();
    server.alpn_protocols = ALPN_TURN.into_iter().chain(http).map(<[u8]>::to_vec).collect();
    Some(TlsAcceptor::from(Arc::new(server)))
}

fn run(
    runtime: &Runtime,
    shared: Arc<Shared>,
    listeners: Vec<Accepting>,
    stopped: oneshot::Receiver<()>,
    failed: &AtomicBool,
) {
    runtime.block_on(async {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(listener.run(Arc::clone(&shared)));
        }
        tokio::select! {
            _ = stopped => {}
            Some(_) = accepting.join_next() => {
                failed.store(true, Ordering::Release);
                tracing::error!("a stream listener ended: its clients are cut off");
            }
        }
    });
}

/// A listener that accepts.
struct Accepting {
    id: ListenerId,
    socket: tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    https: Option<HttpsShare>,
}

impl Accepting {
    async fn run(self, shared: Arc<Shared>) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset};
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => self.admit(&shared, stream, peer),
                // The client gave up before we came to it.
                Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset) => {}
                Err(error) => {
                    if shared.counters.accept_failed().is_power_of_two() {
                        tracing::warn!(%error, "cannot accept stream clients");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
        let place = match shared.gate.admit(peer.ip()) {
            Ok(place) => place,
            Err(refusal) => return shared.counters.refused(refusal),
        };
        // A connection that is broken already shows that again when it is read.
        let Ok(local) = stream.local_addr() else { return };
        let _ = tune(&stream, &shared.limits);
        shared.counters.accepted();
        let number = shared.last_connection.fetch_add(1, Ordering::Relaxed);
        let limits = shared.limits;
        let link = Link {
            client: StreamClient { listener: self.id, address: peer },
            number,
            worker: number as usize % shared.doors.len(),
            is_open: false,
            shared: Arc::clone(shared),
            lane: Arc::new(Lane::new(limits.data_bytes_max, limits.answer_bytes_max)),
            place,
            limits,
            batch_messages: shared.batch_messages,
        };
        let shared = Arc::clone(shared);
        match self.tls.clone() {
            None => drop(tokio::spawn(async move {
                shared.counters.ended(connection::serve(stream, link).await);
            })),
            Some(tls) => {
                let https = self.https.clone();
                drop(tokio::spawn(serve_tls(shared, tls, https, (stream, local), link)));
            }
        }
    }
}

/// Sets what every connection has: small messages leave at once, and little waits in the kernel.
fn tune(stream: &TcpStream, limits: &StreamLimits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sys::set_unsent(stream.as_fd(), limits.unsent_bytes)
}

async fn serve_tls(
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    https: Option<HttpsShare>,
    (stream, local): (TcpStream, SocketAddr),
    link: Link,
) {
    let Ok(Ok(mut stream)) = timeout(link.limits.handshake_timeout, tls.accept(stream)).await
    else {
        return shared.counters.handshake_failed();
    };
    if let Some(share) = https {
        match timeout(link.limits.first_message_timeout, wants_http(&mut stream)).await {
            Ok(true) => {
                shared.counters.handed_to_https();
                let peer = link.client.address;
                drop(link);
                return (share.take)(HttpsStream { stream, peer, local });
            }
            Ok(false) => {}
            Err(_) => return shared.counters.ended(connection::End::Silent),
        }
    }
    shared.counters.ended(connection::serve(stream, link).await);
}

/// Whether a client wants HTTP: it says so by ALPN, or begins with a letter. STUN begins with two
/// zero bits, RFC 8489 §5.
async fn wants_http(stream: &mut TlsStream) -> bool {
    if let Some(protocol) = stream.get_ref().1.alpn_protocol() {
        return ALPN_HTTP.contains(&protocol);
    }
    let first = stream.fill_buf().await.ok().and_then(|bytes| bytes.first().copied());
    first.is_some_and(|byte| byte.is_ascii_alphabetic())
}
