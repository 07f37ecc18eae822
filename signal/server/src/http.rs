//! The HTTP server: accepts connections within limits and serves a router on them.
//!
//! `axum::serve` sets no time limit for a request's head and no limit for connections, so a few
//! thousand half-open requests would stop it.

use crate::activity::UnderWay;
use crate::proxied::{self, NoHeader};
use crate::serving::Serving;
use crate::{HttpLimits, Network};
use axum::Router;
use heliograph_base::Sample;
use signal_core::ProxyHeader;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// How many connections the kernel may finish before we accept them. tokio's default of 128
/// overflows when many come at once, and each that is lost tries again only after a second.
const BACKLOG: u32 = 4096;

/// How long to wait when a connection can't be accepted: the cause, such as no file descriptors
/// left, needs time to go.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\n\
    content-type: text/plain\r\ncontent-length: 54\r\n\r\n\
    The server has as many connections as it may have now\n";

const OPEN: &str = "Connections there are, WebSockets and requests over HTTP/2 included.";
const REQUESTS: &str = "Requests, WebSockets included.";

/// Binds a TCP listener, ready for many connections at once.
///
/// # Errors
/// What the system says, such as that the port is in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart must not wait until the last connections of the process before are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets what every connection has: small messages leave at once, and a client that takes nothing is
/// cut. For who accepts connections and hands them over; listeners of our own do it by themselves.
///
/// # Errors
/// What the system says, such as that the connection is broken.
pub fn tune(stream: &TcpStream, limits: &HttpLimits) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(limits.untaken_timeout))
}

/// The connection that a request came by: an extension of each request, for handlers to take.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end; behind a proxy that names it in a PROXY header, the client.
    pub peer: SocketAddr,
    /// This end: the address that the client reached.
    pub local: SocketAddr,
    /// Whether its requests may say whom they come from: not if they are of a client whom its proxy
    /// didn't name, since such a proxy passes on what the client wrote.
    pub(crate) may_forward: bool,
    /// Given back when the last clone is dropped, so a WebSocket keeps its place.
    place: Arc<Place>,
}

/// A place among the server's connections.
#[derive(Debug)]
struct Place {
    permit: OwnedSemaphorePermit,
    /// Of one request over HTTP/2. Boxed, since most have none.
    _under_way: Option<Box<UnderWay>>,
}

impl Connection {
    /// The same, as the header of its proxy says.
    fn behind(self, header: ProxyHeader) -> Self {
        let peer = header.source.unwrap_or(self.peer);
        Self { peer, may_forward: header.source.is_some(), ..self }
    }

    /// The same for one of several requests at once, with a place of its own, if there is one.
    pub(crate) fn stream(&self, under_way: UnderWay) -> Option<Self> {
        let permit = self.place.permit.semaphore().clone().try_acquire_owned().ok()?;
        let place = Place { permit, _under_way: Some(Box::new(under_way)) };
        Some(Self { place: Arc::new(place), ..self.clone() })
    }
}

/// A connection that somebody else accepted, such as who shares the port.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The bytes of HTTP.
    pub stream: S,
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
}

/// The HTTP server.
#[derive(Debug)]
pub struct Http {
    limits: Arc<HttpLimits>,
    /// Whose connections must begin with a PROXY header.
    proxies: Vec<Network>,
    places: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// What all listeners and connections count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    failed: AtomicU64,
    proxied: proxied::Failures,
    /// Requests over HTTP/1.1, and over HTTP/2.
    pub(crate) http1: AtomicU64,
    pub(crate) http2: AtomicU64,
}

impl Http {
    /// A server that has no listener yet.
    #[must_use]
    pub fn new(limits: HttpLimits) -> Self {
        let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            limits: Arc::new(limits),
            proxies: Vec::new(),
            counts: Arc::default(),
        }
    }

    /// The same, but connections that come from these addresses must begin with a PROXY header,
    /// also before TLS; it says who the client is. Other connections are taken as they are, and so
    /// are those that somebody else accepts.
    #[must_use]
    pub fn behind_proxies(self, proxies: Vec<Network>) -> Self {
        Self { proxies, ..self }
    }

    /// Serves `router` on the connections of `listener` until `shutdown` is done; then lets
    /// requests under way finish, within the time of the limits. Connections that became WebSockets
    /// are not waited for.
    ///
    /// May be called for several listeners: they share the limits.
    pub async fn serve(&self, listener: TcpListener, router: Router, shutdown: impl Future) {
        self.serve_listener(listener, None, router, shutdown).await;
    }

    /// Serves `router` over TLS, as [`Self::serve`] does without it.
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        tls: TlsAcceptor,
        router: Router,
        shutdown: impl Future,
    ) {
        self.serve_listener(listener, Some(tls), router, shutdown).await;
    }

    /// Serves `router` on connections that somebody else accepts, as [`Self::serve`] does.
    pub async fn serve_accepted<S>(
        &self,
        mut accepted: mpsc::Receiver<Accepted<S>>,
        router: Router,
        shutdown: impl Future,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (stopping, serving) = self.serving(router);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                Some(Accepted { stream, peer, local }) = accepted.recv() => {
                    if let Some(connection) = self.place(peer, local) {
                        tokio::spawn(serving.clone().serve(stream, connection));
                    }
                }
                _ = shutdown.as_mut() => break,
            }
        }
        drop((accepted, serving));
        self.finish(&stopping).await;
    }

    async fn serve_listener(
        &self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        router: Router,
        shutdown: impl Future,
    ) {
        let (stopping, serving) = self.serving(router);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.admit(stream, peer, tls.as_ref(), &serving);
                    }
                    Err(error) => self.note_failure(&error).await,
                },
                _ = shutdown.as_mut() => break,
            }
        }
        drop((listener, serving));
        self.finish(&stopping).await;
    }

    /// What the connections of a listener have in common, and what tells them of its end.
    fn serving(&self, router: Router) -> (watch::Sender<bool>, Serving) {
        let (sender, stopping) = watch::channel(false);
        let (limits, counts) = (self.limits.clone(), self.counts.clone());
        (sender, Serving { limits, counts, router, stopping })
    }

    async fn finish(&self, stopping: &watch::Sender<bool>) {
        stopping.send_replace(true);
        if timeout(self.limits.shutdown_timeout, stopping.closed()).await.is_err() {
            warn!("requests under way didn't finish in time and are cut");
        }
    }

    /// What the server has counted.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        let all = self.limits.connections_max.min(Semaphore::MAX_PERMITS);
        let open = all.saturating_sub(self.places.available_permits()) as u64;
        let mut samples = vec![
            Sample::gauge("http_connections", OPEN, open),
            Sample::counter("http_accepted", "Connections accepted.", load(&counts.accepted)),
            Sample::counter("http_refused", "Connections over the limit.", load(&counts.refused)),
            Sample::counter("http_accept_failures", "Failures to accept.", load(&counts.failed)),
            Sample::counter("http_requests", REQUESTS, load(&counts.http1)).labelled("http", "1.1"),
            Sample::counter("http_requests", REQUESTS, load(&counts.http2)).labelled("http", "2"),
        ];
        samples.extend(counts.proxied.samples());
        samples
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&TlsAcceptor>,
        serving: &Serving,
    ) {
        // A connection that is broken already shows that again when it is read.
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let _ = tune(&stream, &self.limits);
        let Some(connection) = self.place(peer, local) else {
            if tls.is_none() {
                // Best effort: the client learns why, if its socket takes that much at once, as a
                // new one does.
                let _ = stream.try_write(BUSY);
            }
            return;
        };
        let (serving, tls) = (serving.clone(), tls.cloned());
        let deadline = Instant::now() + self.limits.handshake_timeout;
        if self.proxies.iter().any(|proxy| proxy.contains(peer.ip())) {
            tokio::spawn(hear(stream, connection, tls, serving, deadline));
        } else {
            begin(stream, connection, tls, serving, deadline);
        }
    }

    /// A place for one more connection, if there is one.
    fn place(&self, peer: SocketAddr, local: SocketAddr) -> Option<Connection> {
        let Ok(permit) = self.places.clone().try_acquire_owned() else {
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        let place = Place { permit, _under_way: None };
        Some(Connection { peer, local, may_forward: true, place: Arc::new(place) })
    }

    async fn note_failure(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        // The client gave up before we came to it.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        if self.counts.failed.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            warn!(%error, "can't accept connections; more open files (ulimit -n) may help");
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Hears whom a proxy's connection comes from, and begins with it.
async fn hear(
    mut stream: TcpStream,
    connection: Connection,
    tls: Option<TlsAcceptor>,
    serving: Serving,
    deadline: Instant,
) {
    let header = proxied::read_header(&mut stream, serving.limits.proxy_header_bytes_max);
    match timeout_at(deadline, header).await.unwrap_or(Err(NoHeader::Late)) {
        Ok(header) => begin(stream, connection.behind(header), tls, serving, deadline),
        Err(why) => {
            serving.counts.proxied.count(why);
            debug!(?why, proxy = %connection.peer, "a connection has no good PROXY header");
        }
    }
}

/// Serves a connection in a task of its own, after the handshake if it has TLS.
fn begin(
    stream: TcpStream,
    connection: Connection,
    tls: Option<TlsAcceptor>,
    serving: Serving,
    deadline: Instant,
) {
    let Some(tls) = tls else {
        tokio::spawn(serving.serve(stream, connection));
        return;
    };
    tokio::spawn(async move {
        match timeout_at(deadline, tls.accept(stream)).await {
            Ok(Ok(stream)) => serving.serve(stream, connection).await,
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    });
}
