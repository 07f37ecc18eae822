//! `GET /v1/live`: what goes on, once a second, as server-sent events.

use super::Admin;
use super::answer::Refusal;
use super::samples::Samples;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Response, header};
use futures_util::stream;
use heliograph_base::Time;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;

/// What goes on. Rates are of the time since the event before; in the first one they are 0.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    /// How long the program has been running.
    uptime_s: u64,
    /// In how many seconds it ends at the latest, if it is about to.
    left_s: Option<u64>,
    /// What the signaling does, if it runs.
    signal: Option<LiveSignal>,
    /// What the relay does, if it runs.
    relay: Option<LiveRelay>,
}

/// What the signaling does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveSignal {
    connections: u64,
    rooms: u64,
    members: u64,
    joins_per_s: f64,
    signals_per_s: f64,
    /// How pairs of members are connected, as they report it.
    pairs: Pairs,
    /// Joins ever: whoever lists rooms knows by it when to do it anew.
    joins: u64,
    /// Requests answered with an error, by code.
    refusals: Vec<Tally>,
}

/// How many pairs are connected how, each counted once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pairs {
    /// From peer to peer.
    direct: u64,
    /// By a relay.
    relayed: u64,
    /// Not yet.
    connecting: u64,
    /// Not at the moment.
    interrupted: u64,
    /// Not at all.
    failed: u64,
}

/// What the relay does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LiveRelay {
    allocations: u64,
    /// From clients to peers.
    from_clients: Rate,
    /// From peers to clients.
    to_clients: Rate,
    /// Between two allocations of this relay.
    inside: Rate,
    /// Datagrams dropped, by reason.
    drops: Vec<Tally>,
    /// Requests answered with an error, by code.
    errors: Vec<Tally>,
}

/// How fast packets go.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rate {
    packets_per_s: f64,
    bytes_per_s: f64,
}

/// How often something happened; what never did is left out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tally {
    what: &'static str,
    total: u64,
    per_s: f64,
}

/// What goes on, once a second, as server-sent events
///
/// The stream goes on until the client closes it or the program ends. An `EventSource` can't set
/// the header with the token; `fetch` can, and reads the stream as it comes.
#[utoipa::path(
    get,
    path = "/v1/live",
    responses(
        (status = 200, description = "Each event", body = Live, content_type = "text/event-stream"),
        (status = 503, description = "There are too many streams", body = super::answer::Problem)
    )
)]
pub(super) async fn live(State(admin): State<Arc<Admin>>) -> Result<Response<Body>, Refusal> {
    let place = admin.live_places.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::Unavailable("there are too many streams".to_owned()))?;
    let mut ticks = interval(admin.limits.live_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = admin.stopping.clone();
    let follower = Follower { admin, ticks, stopping, before: None, _place: place };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let mut response = Response::new(Body::from_stream(events));
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would collect it otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// Somebody who follows.
#[derive(Debug)]
struct Follower {
    admin: Arc<Admin>,
    ticks: Interval,
    stopping: watch::Receiver<bool>,
    before: Option<(Time, Samples)>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; none when the program ends.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            _ = self.ticks.tick() => {}
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
        }
        let (now, samples) = (self.admin.clock.now().time, Samples::new((self.admin.read)()));
        let since = self.before.as_ref().map(|(time, before)| (now.since(*time), before));
        let mut live = Live::of(since, &samples);
        live.uptime_s = self.admin.uptime_s();
        let drain = self.admin.drains.current();
        live.left_s = drain.map(|drain| drain.left().as_millis().div_ceil(1000) as u64);
        self.before = Some((now, samples));
        let text = serde_json::to_string(&live).expect("no map has keys but text");
        Some(format!("data: {text}\n\n").into())
    }
}

impl Live {
    /// `since` is how long ago the counters were read before, and what they were.
    fn of(since: Option<(Duration, &Samples)>, now: &Samples) -> Self {
        let growth = Growth { since, now };
        let signal = now.has("signal_rooms").then(|| LiveSignal {
            connections: now.sum("signal_connections_open"),
            rooms: now.sum("signal_rooms"),
            members: now.sum("signal_members"),
            joins_per_s: growth.per_s(|samples| samples.sum("signal_joins")),
            signals_per_s: growth.per_s(|samples| samples.sum("signal_signals")),
            pairs: Pairs {
                direct: now.labelled("pairs", "direct"),
                relayed: now.labelled("pairs", "relayed"),
                connecting: now.labelled("pairs", "connecting"),
                interrupted: now.labelled("pairs", "interrupted"),
                failed: now.labelled("pairs", "failed"),
            },
            joins: now.sum("signal_joins"),
            refusals: growth.tallies("signal_refusals"),
        });
        let relay = now.has("relay_allocations").then(|| LiveRelay {
            allocations: now.sum("relay_allocations"),
            from_clients: growth.rate("client_to_peer"),
            to_clients: growth.rate("peer_to_client"),
            inside: growth.rate("relay_to_relay"),
            drops: growth.tallies("relay_drops"),
            errors: growth.tallies("relay_errors"),
        });
        Self { uptime_s: 0, left_s: None, signal, relay }
    }
}

/// How counters have grown.
#[derive(Clone, Copy, Debug)]
struct Growth<'a> {
    since: Option<(Duration, &'a Samples)>,
    now: &'a Samples,
}

impl Growth<'_> {
    /// By how much a second, to a tenth.
    fn per_s(&self, value: impl Fn(&Samples) -> u64) -> f64 {
        let Some((time, before)) = self.since.filter(|(time, _)| !time.is_zero()) else {
            return 0.0;
        };
        let grown = value(self.now).saturating_sub(value(before));
        (grown as f64 / time.as_secs_f64() * 10.0).round() / 10.0
    }

    fn rate(&self, path: &str) -> Rate {
        Rate {
            packets_per_s: self.per_s(|samples| samples.labelled("relay_packets", path)),
            bytes_per_s: self.per_s(|samples| samples.labelled("relay_bytes", path)),
        }
    }

    fn tallies(&self, name: &str) -> Vec<Tally> {
        let happened = self.now.labels(name).filter(|(_, total)| *total > 0);
        let tally = |(what, total)| Tally {
            what,
            total,
            per_s: self.per_s(|samples| samples.labelled(name, what)),
        };
        happened.map(tally).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heliograph_base::Sample;

    fn samples(joins: u64, bytes: u64, drops: u64) -> Samples {
        Samples::new(vec![
            Sample::gauge("signal_rooms", "", 3),
            Sample::gauge("pairs", "", 4).labelled("path", "direct"),
            Sample::gauge("pairs", "", 2).labelled("path", "failed"),
            Sample::counter("signal_joins", "", joins),
            Sample::gauge("relay_allocations", "", 5),
            Sample::counter("relay_bytes", "", bytes).labelled("path", "client_to_peer"),
            Sample::counter("relay_bytes", "", 7 * bytes).labelled("path", "peer_to_client"),
            Sample::counter("relay_drops", "", drops).labelled("reason", "no_permission"),
            Sample::counter("relay_drops", "", 0).labelled("reason", "too_long"),
        ])
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let (before, now) = (samples(10, 1000, 0), samples(13, 3000, 4));
        let live = Live::of(Some((Duration::from_secs(2), &before)), &now);
        let (signal, relay) = (live.signal.unwrap(), live.relay.unwrap());
        assert_eq!((signal.rooms, signal.joins, signal.joins_per_s), (3, 13, 1.5));
        let Pairs { direct, relayed, failed, .. } = signal.pairs;
        assert_eq!((direct, relayed, failed), (4, 0, 2));
        assert_eq!(relay.from_clients.bytes_per_s, 1000.0);
        assert_eq!(relay.to_clients.bytes_per_s, 7000.0);
        let [drop] = &relay.drops[..] else { panic!("one reason") };
        assert_eq!((drop.what, drop.total, drop.per_s), ("no_permission", 4, 2.0));
    }

    #[test]
    fn the_first_event_has_no_rates_and_no_half_that_does_not_run() {
        let live = Live::of(None, &samples(13, 3000, 4));
        assert_eq!(live.signal.unwrap().joins_per_s, 0.0);
        assert_eq!(live.relay.unwrap().drops[0].per_s, 0.0);
        let live = Live::of(None, &Samples::default());
        assert!(live.signal.is_none() && live.relay.is_none());
    }
}
