//! Starts what the configuration asks for, waits for the end, and ends it in order.

use crate::banner::{self, Addresses};
use crate::config::Config;
use crate::ops::{self, ReadSamples, Ready};
use crate::print;
use anyhow::{Context as _, anyhow};
use axum::Router;
use heliograph_base::Clock;
use relay_server::{ListenerAddress, Relay, RelayConfig};
use signal_server::{Http, HttpLimits, IceConfig, Signal, SignalConfig, TurnListener};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

/// How often the halves are asked whether a part of them failed. Its clients wait so much longer
/// for a restart.
const FAILURE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// For how long sessions may take to be closed at the end; then they are cut.
const SIGNAL_SHUTDOWN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or Ctrl-C, and then returns; a second one ends the process at once.
///
/// # Errors
/// What kept it from starting or made it stop.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let clock = Clock::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, clock))
}

async fn serve(config: &Config, clock: Clock) -> anyhow::Result<()> {
    let mut ends = Ends::listen()?;
    let running = Running::start(config, clock)?;
    let failure = failure(running.relay.clone(), running.signal.clone());
    print(&banner::text(config, &running.addresses));
    let outcome = tokio::select! {
        cause = ends.next() => { info!(cause, "ending"); Ok(()) }
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
    /// The HTTP server, if there is one, and what ends it.
    http: Option<JoinHandle<()>>,
    stop_http: watch::Sender<bool>,
}

impl Running {
    fn start(config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let listener = config.http.map(bind_http).transpose()?;
        let http_address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let relay = match config.halves.relay() {
            true => Some(Arc::new(Relay::start(relay_config(config, http_address), clock)?)),
            false => None,
        };
        let turn = relay.as_ref().map(|relay| relay.listeners()).unwrap_or_default();
        let addresses = Addresses {
            http: http_address,
            turn: turn.iter().map(|listener| listener.advertised).collect(),
        };
        let signal = match config.halves.signal() {
            true => Some(Signal::start(signal_config(config, turn), clock)?),
            false => None,
        };
        for note in relay.iter().flat_map(|relay| relay.notes()) {
            warn!("{note}");
        }
        let ready = Ready::default();
        let server = Arc::new(Http::new(HttpLimits::default()));
        let read = read_samples(server.clone(), relay.clone(), signal.clone());
        let router = router(ready.clone(), read, signal.as_ref());
        let (stop_http, mut stopping) = watch::channel(false);
        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
        let http = listener.map(|listener| {
            tokio::spawn(async move { server.serve(listener, router, stopped).await })
        });
        ready.set(true);
        Ok(Self { addresses, ready, relay, signal, http, stop_http })
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
        if let Some(http) = self.http {
            http.await.context("the HTTP server panicked")?;
        }
        drop(self.relay);
        Ok(())
    }
}

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
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}

/// `http` is where our own HTTP server listens: never a peer, even if its range is opened.
fn relay_config(config: &Config, http: Option<SocketAddr>) -> RelayConfig {
    let core = relay_core::Config {
        realm: config.realm.clone(),
        secrets: config.secrets.clone(),
        users: config.users.clone(),
        policy: relay_core::PeerPolicy {
            allow: config.allow_peer.clone(),
            deny: config.deny_peer.clone(),
        },
        never_peers: http.into_iter().flat_map(banner::reachable).collect(),
        ..relay_core::Config::default()
    };
    RelayConfig {
        core,
        listen: config.turn.clone(),
        public_ip: config.public_ip.clone(),
        port_range: config.port_range.clone(),
        workers: config.workers,
        ..RelayConfig::default()
    }
}

fn signal_config(config: &Config, turn: &[ListenerAddress]) -> SignalConfig {
    let turn_listener = |address: &ListenerAddress| TurnListener {
        bound: address.bound,
        public: (address.advertised != address.bound).then_some(address.advertised),
    };
    let ice = IceConfig {
        secret: config.secrets.first().cloned(),
        turn: turn.iter().map(turn_listener).collect(),
        ..IceConfig::default()
    };
    SignalConfig { ice, ..SignalConfig::default() }
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

fn bind_http(address: SocketAddr) -> anyhow::Result<TcpListener> {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    signal_server::bind(address).map_err(|error| {
        let is = |kind| error.kind() == kind;
        if is(AddrInUse) {
            anyhow!("{address} is in use: stop the other program or choose another with --http")
        } else if is(PermissionDenied) {
            anyhow!(
                "no permission to listen on {address}: ports below 1024 need root or \
                 CAP_NET_BIND_SERVICE; choose another with --http"
            )
        } else if is(AddrNotAvailable) {
            anyhow!(
                "{address} is not an address of this machine: give --http one that is, or 0.0.0.0"
            )
        } else {
            anyhow!(error).context(format!("cannot listen on --http {address}"))
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
