//! Starts what the configuration asks for, waits for the end, and ends it in order.

use crate::admin;
use crate::banner::{self, Addresses};
use crate::config::Config;
use crate::diagnosis;
use crate::drain::{Drain, Drains};
use crate::ops::{self, ReadSamples, Ready};
use crate::print;
use crate::tls::Certificate;
use anyhow::{Context as _, anyhow};
use axum::Router;
use heliograph_base::{Clock, Secret};
use relay_server::relay_core::{Revoke, Transport};
use relay_server::{HttpsShare, HttpsStream, StreamConfig, TlsStream};
use relay_server::{Limits, ListenerAddress, Relay, RelayConfig};
use signal_server::{
    Accepted, Departure, Http, HttpLimits, IceConfig, OnDeparture, Signal, SignalConfig,
    TlsAcceptor, TurnListener, TurnTransport,
};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// How often the halves are asked whether a part of them failed. Its clients wait so much longer
/// for a restart.
const FAILURE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// For how long sessions may take to be closed at the end; then they are cut.
const SIGNAL_SHUTDOWN: Duration = Duration::from_secs(5);

/// How many HTTPS connections may wait between the listener that they share with TURN and the HTTP
/// server. It takes them at once; more are closed.
const HTTPS_QUEUE_MAX: usize = 1024;

/// The ALPN protocols of HTTPS, the better one first.
const ALPN_HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Runs until SIGTERM or Ctrl-C, and then returns; a second one ends the process at once.
///
/// `token` is that of the admin API, if there is one.
///
/// # Errors
/// What kept it from starting or made it stop.
pub(crate) fn run(
    config: &Config,
    tls: Option<Arc<Certificate>>,
    token: Option<Secret>,
) -> anyhow::Result<()> {
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, tls, token, clock))
}

async fn serve(
    config: &Config,
    tls: Option<Arc<Certificate>>,
    token: Option<Secret>,
    clock: Clock,
) -> anyhow::Result<()> {
    let mut ends = Ends::listen()?;
    let running = Running::start(config, tls, token, clock)?;
    let failure = failure(running.relay.clone(), running.signal.clone());
    print(&banner::text(config, &running.addresses));
    let outcome = tokio::select! {
        cause = ends.next() => {
            info!(cause, "ending");
            // Who stands before it and presses Ctrl-C wants it now.
            if cause == SIGTERM && !config.signaling.drain.is_zero() && running.signal.is_some() {
                let url = config.signaling.goaway_url.clone();
                running.drains.order(Drain::new(config.signaling.drain, url));
                running.drain(&mut ends).await;
            }
            Ok(())
        }
        () = running.drains.ordered() => {
            info!(cause = "the admin API", "ending");
            running.drain(&mut ends).await;
            Ok(())
        }
        error = failure => Err(error),
    };
    tokio::spawn(async move {
        ends.next().await;
        std::process::exit(1);
    });
    running.end().await?;
    outcome
}

/// Everything that runs.
struct Running {
    addresses: Addresses,
    ready: Ready,
    relay: Option<Arc<Relay>>,
    signal: Option<Signal>,
    /// The HTTP server's listeners, and what ends them.
    http: Vec<JoinHandle<()>>,
    drains: Drains,
    stop_http: watch::Sender<bool>,
}

impl Running {
    fn start(
        config: &Config,
        tls: Option<Arc<Certificate>>,
        token: Option<Secret>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let own_https = config.https.filter(|_| !config.shares_https());
        let http = bind_http("--http", config.http)?;
        let https = bind_http("--https", own_https)?;
        let admin = bind_http("--admin", config.admin.as_ref().map(|admin| admin.address))?;
        let bound = [&http, &https, &admin].map(|bound| bound.as_ref().map(|(_, at)| *at));
        let (sender, shared_https) = mpsc::channel(HTTPS_QUEUE_MAX);
        let relay = match config.halves.relay() {
            true => {
                let relay = relay_config(config, &bound, tls.as_ref(), sender);
                Some(Arc::new(Relay::start(relay, clock)?))
            }
            false => None,
        };
        let turn = relay.as_ref().map(|relay| relay.listeners()).unwrap_or_default();
        let addresses = addresses(config, bound, turn);
        let signal = match config.halves.signal() {
            true => Some(Signal::start(signal_config(config, turn, relay.as_ref()), clock)?),
            false => None,
        };
        for note in relay.iter().flat_map(|relay| relay.notes()) {
            warn!("{note}");
        }
        let ready = Ready::default();
        let server = Http::new(HttpLimits::default());
        let server = Arc::new(server.behind_proxies(config.signaling.proxies_with_header()));
        let read = read_samples(server.clone(), relay.clone(), signal.clone());
        let router = router(ready.clone(), read.clone(), signal.as_ref());
        let (stop_http, stopping) = watch::channel(false);
        let mut tasks = Vec::new();
        let drains = Drains::new();
        if let (Some((listener, address)), Some(token)) = (admin, token) {
            if !address.ip().is_loopback() {
                warn!("{NOT_LOOPBACK}");
            }
            let site = admin::Site {
                clock,
                addresses: addresses.clone(),
                signal: signal.clone(),
                relay: relay.clone(),
                read,
                drains: drains.clone(),
                stopping: stopping.clone(),
            };
            tasks.push(tokio::spawn(admin::serve(site, token, listener)));
        }
        if let Some((listener, _)) = http {
            let (server, router) = (server.clone(), router.clone());
            let stopped = stopped(stopping.clone());
            tasks.push(tokio::spawn(async move {
                server.serve(listener, router, stopped).await;
            }));
        }
        if let (Some((listener, _)), Some(tls)) = (https, &tls) {
            let (server, router) = (server.clone(), router.clone());
            let (stopped, tls) = (stopped(stopping.clone()), https_acceptor(tls));
            tasks.push(tokio::spawn(async move {
                server.serve_tls(listener, tls, router, stopped).await;
            }));
        }
        if config.shares_https() {
            let stopped = stopped(stopping);
            tasks.push(tokio::spawn(async move {
                server.serve_accepted(shared_https, router, stopped).await;
            }));
        }
        if let Some(tls) = tls {
            tokio::spawn(tls.keep_fresh());
        }
        ready.set(true);
        Ok(Self { addresses, ready, relay, signal, http: tasks, drains, stop_http })
    }

    /// Tells the clients of signaling that the end comes, and waits until then, until all have gone
    /// or until it is told again to end. An end that is ordered meanwhile takes the place of the
    /// one before.
    async fn drain(&self, ends: &mut Ends) {
        self.ready.set(false);
        let mut ordered = self.drains.subscribe();
        loop {
            let drain = ordered.borrow_and_update().clone();
            let Some(Drain { deadline, url }) = drain else { return };
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(signal) = &self.signal {
                signal.drain(left, url);
            }
            let emptied = async {
                match &self.signal {
                    Some(signal) => signal.emptied().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = sleep_until(deadline) => return,
                () = emptied => return,
                cause = ends.next() => return info!(cause, "ending at once"),
                _ = ordered.changed() => {}
            }
        }
    }

    /// First the sessions, which are told to reconnect; then HTTP; last the relay, which open peer
    /// connections may use.
    async fn end(self) -> anyhow::Result<()> {
        self.ready.set(false);
        if let Some(signal) = self.signal
            && !signal.shutdown(SIGNAL_SHUTDOWN).await
        {
            warn!("some sessions were not closed in time and are cut");
        }
        self.stop_http.send_replace(true);
        for http in self.http {
            http.await.context("the HTTP server panicked")?;
        }
        drop(self.relay);
        Ok(())
    }
}

/// What an operator is told who opens the admin API.
const NOT_LOOPBACK: &str = "--admin is reached from other machines, and its token goes \
    unencrypted: better keep it on 127.0.0.1, behind a TLS proxy or an SSH tunnel";

const SIGTERM: &str = "SIGTERM";

/// What an operator ends the program with.
struct Ends {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => SIGTERM,
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

fn https_acceptor(tls: &Arc<Certificate>) -> TlsAcceptor {
    let mut server = (*tls.server()).clone();
    server.alpn_protocols = ALPN_HTTP.map(<[u8]>::to_vec).to_vec();
    TlsAcceptor::from(Arc::new(server))
}

/// Where all came to listen. `bound` is where HTTP, HTTPS and the admin API do by themselves.
fn addresses(
    config: &Config,
    [http, own_https, admin]: [Option<SocketAddr>; 3],
    turn: &[ListenerAddress],
) -> Addresses {
    let by = |transport| -> Vec<SocketAddr> {
        let all = turn.iter().filter(|listener| listener.transport == transport);
        all.map(|listener| listener.advertised).collect()
    };
    let turn_tls = by(Transport::Tls);
    let shared = config.https.filter(|_| config.shares_https());
    let shared = shared.into_iter().flat_map(|https| {
        let is_it = move |one: &&ListenerAddress| {
            one.transport == Transport::Tls
                && (https.port() == 0 || https.port() == one.bound.port())
                && (https.ip().is_unspecified() || https.ip() == one.bound.ip())
        };
        turn.iter().filter(is_it).map(|one| one.advertised)
    });
    let own_https = own_https.into_iter().flat_map(banner::reachable);
    Addresses {
        http,
        https: own_https.chain(shared).collect(),
        turn: by(Transport::Udp),
        turn_tcp: by(Transport::Tcp),
        turn_tls,
        admin,
    }
}

/// `bound` is where our own HTTP servers listen: never a peer, even if its range is opened. `https`
/// gets the connections of a shared listener whose clients want HTTPS.
fn relay_config(
    config: &Config,
    bound: &[Option<SocketAddr>],
    tls: Option<&Arc<Certificate>>,
    https: mpsc::Sender<Accepted<TlsStream>>,
) -> RelayConfig {
    let defaults = match config.unauthenticated_rate {
        Some(rate) => relay_core::Config::default().with_unauthenticated_rate(rate),
        None => relay_core::Config::default(),
    };
    let core = relay_core::Config {
        realm: config.realm.clone(),
        secrets: config.secrets.clone(),
        users: config.users.clone(),
        policy: relay_core::PeerPolicy {
            allow: config.allow_peer.clone(),
            deny: config.deny_peer.clone(),
        },
        never_peers: bound.iter().flatten().copied().flat_map(banner::reachable).collect(),
        alternate_servers: config.alternate_server.clone(),
        alternate_domain: config.alternate_domain.clone(),
        software: config.software.clone().unwrap_or(defaults.software),
        allocations_per_holder_max: config
            .user_quota
            .unwrap_or(defaults.allocations_per_holder_max),
        allocations_per_user_max: config.user_quota.unwrap_or(defaults.allocations_per_user_max),
        ..defaults
    };
    let limits = HttpLimits::default();
    let take = move |HttpsStream { stream, peer, local }: HttpsStream| {
        // A connection that is broken already shows that again when it is read.
        let _ = signal_server::tune(stream.get_ref().0, &limits);
        // One for which there is no room is closed.
        let _ = https.try_send(Accepted { stream, peer, local });
    };
    let share = config.https.filter(|_| config.shares_https());
    let streams = StreamConfig {
        tcp: config.turn_tcp.clone(),
        tls: config.turn_tls.clone(),
        server: tls.map(Certificate::server),
        https: share.map(|https| HttpsShare { addresses: vec![https], take: Arc::new(take) }),
        ..StreamConfig::default()
    };
    RelayConfig {
        core,
        listen: config.turn.clone(),
        streams,
        public_ip: config.public_ip.clone(),
        port_range: config.port_range.clone(),
        workers: config.workers,
        limits: Limits { pause: config.pause, offload: config.offload, ..Limits::default() },
    }
}

/// The relay is told who left for good, and asked why members aren't connected.
fn signal_config(
    config: &Config,
    turn: &[ListenerAddress],
    relay: Option<&Arc<Relay>>,
) -> SignalConfig {
    let turn_listener = |address: &ListenerAddress| TurnListener {
        transport: match address.transport {
            Transport::Udp => TurnTransport::Udp,
            Transport::Tcp => TurnTransport::Tcp,
            Transport::Tls => TurnTransport::Tls,
        },
        bound: address.bound,
        public: (address.advertised != address.bound).then_some(address.advertised),
    };
    let ice = IceConfig {
        secret: config.secrets.first().cloned(),
        turn: turn.iter().map(turn_listener).collect(),
        host: config.public_host.clone(),
        ..IceConfig::default()
    };
    // Not a second owner: the relay ends when the program says so.
    let relay = relay.map(Arc::downgrade);
    let ask_relay = relay.clone().map(diagnosis::ask);
    let on_departure = relay.map(|relay| {
        OnDeparture(Arc::new(move |departure| {
            if let Some(relay) = relay.upgrade() {
                revoke(&relay, departure);
            }
        }))
    });
    let mut signal = SignalConfig { ice, on_departure, ask_relay, ..SignalConfig::default() };
    config.signaling.apply(&mut signal);
    signal
}

/// Ends the allocations of a peer that left on purpose or was removed. Doesn't wait.
fn revoke(relay: &Relay, departure: &Departure) {
    if departure.is_for_good() {
        let (room, peer) = (departure.room.to_string(), departure.peer.to_string());
        relay.revoke(&Revoke::Seat { room, peer, seat: departure.seat });
    }
}

fn router(ready: Ready, read: ReadSamples, signal: Option<&Signal>) -> Router {
    let ops = ops::router(ready, read);
    match signal {
        Some(signal) => ops.merge(signal.router()),
        None => ops,
    }
}

fn read_samples(http: Arc<Http>, relay: Option<Arc<Relay>>, signal: Option<Signal>) -> ReadSamples {
    Arc::new(move || {
        let relay = relay.iter().flat_map(|relay| relay.counters());
        let signal = signal.iter().flat_map(|signal| signal.samples());
        relay.chain(signal).chain(http.samples()).collect()
    })
}

/// Binds what `flag` asks for, if it does.
fn bind_http(
    flag: &str,
    address: Option<SocketAddr>,
) -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let Some(address) = address else { return Ok(None) };
    let bound = signal_server::bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map(Some).map_err(|error| {
        let is = |kind| error.kind() == kind;
        if is(AddrInUse) {
            anyhow!("{address} is in use: stop the other program or choose another with {flag}")
        } else if is(PermissionDenied) {
            anyhow!(
                "no permission to listen on {address}: ports below 1024 need root or \
                 CAP_NET_BIND_SERVICE; choose another with {flag}"
            )
        } else if is(AddrNotAvailable) {
            anyhow!(
                "{address} is not an address of this machine: give {flag} one that is, or 0.0.0.0"
            )
        } else {
            anyhow!(error).context(format!("cannot listen on {flag} {address}"))
        }
    })
}

/// Waits until a part of the program that can't be replaced has failed.
async fn failure(relay: Option<Arc<Relay>>, signal: Option<Signal>) -> anyhow::Error {
    let mut interval = tokio::time::interval(FAILURE_CHECK_INTERVAL);
    loop {
        interval.tick().await;
        if relay.as_ref().is_some_and(|relay| relay.failed()) {
            return anyhow!("a relay worker failed; the log says why");
        }
        if signal.as_ref().is_some_and(Signal::failed) {
            return anyhow!("a part of the signaling server failed; the log says why");
        }
    }
}
