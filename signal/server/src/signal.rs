//! The signaling server as a whole: start, routes, counters, end.

use crate::admission::Admission;
use crate::auth::Auth;
use crate::counters::EdgeCounters;
use crate::directory::Directory;
use crate::drain::Drain;
use crate::edges::Edges;
use crate::shard::{self, Followers, SharedCounts};
use crate::ticket_office::Tickets;
use crate::webhooks::Webhooks;
use crate::{
    Connection, SignalConfig, events, handshake, matchmaking, origin, page, poll, rooms, websocket,
};
use ahash::RandomState;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::http::{Request, Response};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::{any, get, post};
use heliograph_base::{Clock, Sample};
use signal_core::{Config, Hub, Seed, TurnKey};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument as _, debug_span};

/// A signaling server with its rooms. Clones are handles of the same server.
#[derive(Clone, Debug)]
pub struct Signal {
    pub(crate) edges: Arc<Edges>,
}

impl Signal {
    /// Starts the shards, as tasks of the tokio runtime that this is called in.
    ///
    /// # Errors
    /// What the system says if it has no random bytes.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(config: SignalConfig, clock: Clock) -> io::Result<Self> {
        let shards = config.shards.clamp(1, usize::from(u16::MAX));
        let counts: Arc<[SharedCounts]> = (0..shards).map(|_| SharedCounts::default()).collect();
        let turn = config.ice.secret.clone();
        let turn = turn.map(|secret| TurnKey { secret, ttl: config.ice.ttl });
        let limits = shard_limits(&config.hub, shards);

        let words = random()?;
        let webhooks = config.hook.clone();
        let webhooks = webhooks.map(|hook| Webhooks::start(*hook, clock, words_of(&words)));
        let on_departure = config.on_departure.clone();
        let followers = Followers { on_departure, webhooks };

        let (mut senders, mut orders) = (Vec::with_capacity(shards), Vec::with_capacity(shards));
        for number in 0..shards {
            let seed = Seed { hub: number as u16, random: random()? };
            let hub = Hub::new(limits.clone(), turn.clone(), &seed);
            let (lanes, queues) = shard::lanes(&config);
            let (order, of_orders) = mpsc::channel(config.order_queue_max);
            let counts = counts.clone();
            let followers = followers.clone();
            tokio::spawn(async move {
                shard::run(hub, queues, of_orders, clock, &counts[number], followers).await;
            });
            senders.push(lanes);
            orders.push(order);
        }
        let [first, second, third, fourth] = words_of(&random()?);
        let edges = Edges {
            limits: Arc::new(config.hub.clone()),
            auth: Arc::new(Auth::start(config.auth.clone(), clock)),
            directory: Directory::default(),
            matching: Arc::new(config.matching.clone()),
            tickets: Tickets::start(&config, clock, random()?),
            admission: Arc::new(Admission::new(config.admission.clone())),
            config,
            clock,
            shards: senders,
            orders,
            shard_counts: counts,
            hasher: RandomState::with_seeds(first, second, third, fourth),
            counters: EdgeCounters::default(),
            stopping: watch::Sender::new(false),
            is_ending: AtomicBool::new(false),
            draining: watch::Sender::new(None),
            last_edge: AtomicU64::new(0),
            ice: Mutex::default(),
            webhooks: followers.webhooks,
        };
        Ok(Self { edges: Arc::new(edges) })
    }

    /// The routes: those of the protocol, the SDK for browsers, and the pages at `/` and `/check`
    /// with their files. To be served by [`Http`](crate::Http), whose [`Connection`] says which
    /// address a client reached.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/ws", any(open))
            .route("/v1/events", get(events::events))
            .route("/v1/poll", get(poll::poll))
            .route("/v1/send", post(poll::send))
            .route("/v1/rooms", get(rooms::list).post(rooms::make))
            .route("/v1/rooms/{room}", get(rooms::show))
            .route("/v1/rooms/{room}/events", get(rooms::history))
            .route("/v1/tickets", post(matchmaking::post))
            .route("/v1/tickets/{id}", get(matchmaking::poll).delete(matchmaking::cancel))
            .route_layer(from_fn_with_state(self.edges.clone(), origin::check))
            .route_layer(from_fn(traced))
            .route("/", get(page::index))
            .route("/check", get(page::check))
            .route("/check/", get(page::check_folder))
            .route("/heliograph.js", get(page::sdk))
            .route("/{*name}", get(page::asset))
            .with_state(self.edges.clone())
    }

    /// What the server has counted.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = self.edges.counters.samples(&self.edges.shard_counts);
        samples.extend(self.edges.auth.samples());
        samples.extend(self.edges.tickets.samples());
        samples.extend(self.edges.webhooks.iter().flat_map(Webhooks::samples));
        samples
    }

    /// Whether a shard or the owner of the tickets ended by a panic, which the log tells. Nobody
    /// can join its rooms: end the process, loudly.
    #[must_use]
    pub fn failed(&self) -> bool {
        let shards = &self.edges.shards;
        self.edges.tickets.failed() || shards.iter().any(|lanes| lanes.begun.is_closed())
    }

    /// Announces the end: every client is told that the server closes `within` this time and, with
    /// `url`, where else to go, one after the other at the rate of the configuration. Who wants a
    /// seat from now on is refused. Sessions go on until [`shutdown`](Self::shutdown). Announced
    /// anew, it is told anew to all.
    pub fn drain(&self, within: Duration, url: Option<String>) {
        let drain = Drain::new(within, url, self.edges.config.goaway_per_s);
        self.edges.is_ending.store(true, Ordering::Release);
        self.edges.draining.send_replace(Some(Arc::new(drain)));
    }

    /// Waits until no client is connected any more.
    pub async fn emptied(&self) {
        self.edges.stopping.closed().await;
    }

    /// Closes every session with 4003 and waits until they are gone, `within` at most. Whoever
    /// connects afterwards is closed at once. Then what waits for the webhook is delivered, within
    /// its own limit.
    ///
    /// Returns whether all were gone in time.
    pub async fn shutdown(&self, within: Duration) -> bool {
        self.edges.is_ending.store(true, Ordering::Release);
        self.edges.stopping.send_replace(true);
        let all_gone = timeout(within, self.edges.stopping.closed()).await.is_ok();
        if let Some(webhooks) = &self.edges.webhooks {
            webhooks.finish().await;
        }
        all_gone
    }
}

/// `GET /v1/ws`: makes a connection a WebSocket and a session of it.
async fn open(State(edges): State<Arc<Edges>>, mut request: Request<Body>) -> Response<Body> {
    let (answer, upgrade) = match handshake::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    let connection = request.extensions_mut().remove::<Connection>();
    let origin = match edges.connect(connection.as_ref(), request.headers()) {
        Ok(origin) => origin,
        Err(answer) => return *answer,
    };
    let stopping = edges.stopping.subscribe();
    let span = debug_span!("session", room = Empty, peer = Empty);
    tokio::spawn(websocket::run(edges, connection, origin, upgrade, stopping).instrument(span));
    answer
}

/// Records an API request as a span.
async fn traced(request: Request<Body>, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let span = debug_span!("request", method = %request.method(), route, status = Empty);
    let answer = next.run(request).instrument(span.clone()).await;
    span.record("status", answer.status().as_u16());
    answer
}

/// The limits of one of several shards.
fn shard_limits(limits: &Config, shards: usize) -> Config {
    Config {
        rooms_max: limits.rooms_max.div_ceil(shards),
        members_max: limits.members_max.div_ceil(shards),
        ..limits.clone()
    }
}

fn words_of(random: &[u8; 32]) -> [u64; 4] {
    let byte = |word: usize, byte: usize| random[word * 8 + byte];
    std::array::from_fn(|word| u64::from_le_bytes(std::array::from_fn(|at| byte(word, at))))
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
