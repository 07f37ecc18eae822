//! What happens in rooms, told to a service of the operator's own.
//!
//! A shard puts each happening into the lane of its room and never waits. A `lane` delivers what
//! waits in it, in order, several events at once, as `event` writes them. So events of one room
//! come in their order, and a room whose events aren't taken holds up only those of its lane.

mod config;
mod event;
mod lane;

pub use config::HookConfig;
pub use event::{BadEvent, HookEvent};

use ahash::RandomState;
use event::{Event, EventId};
use heliograph_base::{Clock, Sample, UnixTime};
use lane::{Ending, Lane};
use signal_core::Happening;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tracing::warn;

/// The ways to the lanes. Once all clones are gone, the lanes end when nothing waits any more.
#[derive(Clone, Debug)]
pub(crate) struct Webhooks {
    common: Arc<Common>,
    lanes: Arc<[Way]>,
    hasher: RandomState,
    stopping: Arc<watch::Sender<bool>>,
}

/// What all lanes share.
#[derive(Debug)]
struct Common {
    config: HookConfig,
    clock: Clock,
    run: u64,
    last_id: AtomicU64,
    counters: Counters,
}

/// The way to one lane.
#[derive(Debug)]
struct Way {
    queue: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

/// Why the service isn't told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Too many were waiting.
    Full,
    /// It had to wait for too long.
    Late,
    /// It was tried too often.
    GivenUp,
    /// The server was about to end.
    Ended,
}

const LOSSES: [(Loss, &str); 4] = [
    (Loss::Full, "full"),
    (Loss::Late, "late"),
    (Loss::GivenUp, "given_up"),
    (Loss::Ended, "ended"),
];

#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicU64,
    delivered: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    lost: [AtomicU64; LOSSES.len()],
}

impl Webhooks {
    /// Starts the lanes, as tasks of the tokio runtime that this is called in. `random` is of good
    /// randomness: nobody may choose rooms that share a lane.
    pub(crate) fn start(config: HookConfig, clock: Clock, random: [u64; 4]) -> Self {
        let [run, seeds @ ..] = random;
        let lanes = config.lanes.max(1);
        let waiting_max = config.waiting_max.div_ceil(lanes).max(1);
        let (last_id, counters) = (AtomicU64::new(0), Counters::default());
        let common = Arc::new(Common { config, clock, run, last_id, counters });
        let (stopping, stopped) = watch::channel(false);
        let lane = |_| {
            let (queue, waiting) = mpsc::channel(waiting_max);
            let dropped = Arc::new(AtomicU64::new(0));
            let ending = Ending::new(stopped.clone());
            let lane = Lane { common: common.clone(), waiting, dropped: dropped.clone(), ending };
            tokio::spawn(lane.run());
            Way { queue, dropped }
        };
        let lanes = (0..lanes).map(lane).collect();
        let hasher = RandomState::with_seeds(seeds[0], seeds[1], seeds[2], run);
        Self { common, lanes, hasher, stopping: Arc::new(stopping) }
    }

    /// Takes note of what happened, or counts that it can't.
    pub(crate) fn push(&self, at: UnixTime, happening: Happening) {
        let Common { config, counters, .. } = &*self.common;
        if !config.events.contains(&HookEvent::of(&happening)) {
            return;
        }
        let lane = self.hasher.hash_one(happening.room()) % self.lanes.len() as u64;
        let way = &self.lanes[lane as usize];
        // The clock of its wait, which is the one of the pauses.
        let waits_since = Instant::now();
        let event = Event { id: self.common.next_id(), at, waits_since, happening };
        counters.waiting.fetch_add(1, Ordering::Relaxed);
        let why = match way.queue.try_send(event) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(_)) => Loss::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Loss::Ended,
        };
        way.dropped.fetch_add(1, Ordering::AcqRel);
        counters.count_lost(why, 1);
    }

    /// Delivers what waits, within the time for that, and takes no more.
    pub(crate) async fn finish(&self) {
        self.stopping.send_replace(true);
        let within = self.common.config.shutdown_max;
        if timeout(within, self.stopping.closed()).await.is_err() {
            let lost = self.common.counters.waiting.load(Ordering::Relaxed);
            warn!(lost, "the webhook didn't take all events before the end");
        }
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.common.counters.samples()
    }
}

impl Common {
    fn next_id(&self) -> EventId {
        EventId { run: self.run, number: self.last_id.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Counters {
    fn count_delivered(&self, events: usize) {
        self.delivered.fetch_add(events as u64, Ordering::Relaxed);
        self.waiting.fetch_sub(events as u64, Ordering::Relaxed);
    }

    /// Logged at first and then ever more rarely.
    fn count_lost(&self, why: Loss, events: usize) {
        let index = LOSSES.iter().position(|(loss, _)| *loss == why).expect("all are listed");
        let before = self.lost[index].fetch_add(events as u64, Ordering::Relaxed);
        self.waiting.fetch_sub(events as u64, Ordering::Relaxed);
        let (dropped, why) = (before + events as u64, LOSSES[index].1);
        if before == 0 || dropped.ilog2() > before.ilog2() {
            warn!(dropped, why, "events for the webhook are dropped");
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut samples = vec![
            Sample::gauge(
                "signal_webhook_waiting",
                "Events that wait to be taken by the webhook, those under way included.",
                load(&self.waiting),
            ),
            Sample::counter(
                "signal_webhook_delivered",
                "Events that the webhook took.",
                load(&self.delivered),
            ),
            Sample::counter(
                "signal_webhook_retries",
                "Deliveries to the webhook that failed and were tried again.",
                load(&self.retries),
            ),
        ];
        samples.extend(LOSSES.iter().zip(&self.lost).map(|((_, label), counter)| {
            let help = "Events that the webhook was not told.";
            Sample::counter("signal_webhook_dropped", help, load(counter)).labelled("why", label)
        }));
        samples
    }
}

#[cfg(test)]
mod tests;
