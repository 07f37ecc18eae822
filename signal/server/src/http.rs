//! The HTTP server: accepts connections within limits and serves a router on them.
//!
//! `axum::serve` sets no time limit for a request's head and no limit for connections, so a few
//! thousand half-open requests would stop it.

use crate::HttpLimits;
use axum::Router;
use heliograph_base::Sample;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
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

/// The connection that a request came by: an extension of each request, for handlers to take.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The other end.
    pub peer: SocketAddr,
    /// This end: the address that the client reached.
    pub local: SocketAddr,
    /// Given back when the last clone is dropped, so a WebSocket keeps its place.
    _place: Arc<OwnedSemaphorePermit>,
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
    limits: HttpLimits,
    places: Arc<Semaphore>,
    accepted: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Http {
    /// A server that has no listener yet.
    #[must_use]
    pub fn new(limits: HttpLimits) -> Self {
        let places = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            limits,
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
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
        let (stopping, watching) = watch::channel(false);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                Some(Accepted { stream, peer, local }) = accepted.recv() => {
                    if let Some(connection) = self.place(peer, local) {
                        self.spawn(stream, connection, &router, &watching);
                    }
                }
                _ = shutdown.as_mut() => break,
            }
        }
        drop((accepted, watching));
        self.finish(&stopping).await;
    }

    async fn serve_listener(
        &self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        router: Router,
        shutdown: impl Future,
    ) {
        let (stopping, watching) = watch::channel(false);
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.admit(stream, peer, tls.as_ref(), &router, &watching);
                    }
                    Err(error) => self.note_failure(&error).await,
                },
                _ = shutdown.as_mut() => break,
            }
        }
        drop((listener, watching));
        self.finish(&stopping).await;
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
        let all = self.limits.connections_max.min(Semaphore::MAX_PERMITS);
        let open = all.saturating_sub(self.places.available_permits()) as u64;
        vec![
            Sample::gauge("http_connections", "Connections there are, WebSockets included.", open),
            Sample::counter("http_accepted", "Connections accepted.", load(&self.accepted)),
            Sample::counter("http_refused", "Connections over the limit.", load(&self.refused)),
            Sample::counter("http_accept_failures", "Failures to accept.", load(&self.failed)),
        ]
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&TlsAcceptor>,
        router: &Router,
        stopping: &watch::Receiver<bool>,
    ) {
        // A connection that is broken already shows that again when it is read.
        let Ok(local) = stream.local_addr() else {
            return;
        };
        let _ = stream.set_nodelay(true);
        let Some(connection) = self.place(peer, local) else {
            if tls.is_none() {
                // Best effort: the client learns why, if its socket takes that much at once, as a
                // new one does.
                let _ = stream.try_write(BUSY);
            }
            return;
        };
        let Some(tls) = tls.cloned() else {
            return self.spawn(stream, connection, router, stopping);
        };
        let (limits, router, stopping) = (self.limits.clone(), router.clone(), stopping.clone());
        tokio::spawn(async move {
            match timeout(limits.handshake_timeout, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    serve_connection(limits, stream, connection, router, stopping).await;
                }
                Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
                Err(_) => debug!("a TLS handshake took too long"),
            }
        });
    }

    /// A place for one more connection, if there is one.
    fn place(&self, peer: SocketAddr, local: SocketAddr) -> Option<Connection> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Connection { peer, local, _place: Arc::new(place) })
    }

    fn spawn<S>(
        &self,
        stream: S,
        connection: Connection,
        router: &Router,
        stopping: &watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        tokio::spawn(serve_connection(
            self.limits.clone(),
            stream,
            connection,
            router.clone(),
            stopping.clone(),
        ));
    }

    async fn note_failure(&self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        // The client gave up before we came to it.
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
            return;
        }
        if self.failed.fetch_add(1, Ordering::Relaxed).is_power_of_two() {
            warn!(%error, "can't accept connections; more open files (ulimit -n) may help");
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

async fn serve_connection<S>(
    limits: HttpLimits,
    stream: S,
    connection: Connection,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        routes.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_buf_size(limits.header_bytes_max)
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let stop = async { stopping.wait_for(|stopping| *stopping).await.is_ok() };
    let served = tokio::select! {
        served = serving.as_mut() => served,
        _ = stop => {
            serving.as_mut().graceful_shutdown();
            timeout(limits.shutdown_timeout, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
