//! A lane: the task that delivers the events of its rooms, one delivery after the other, each until
//! it is taken or given up.

use super::event::{self, Event, Hole};
use super::{Common, Loss};
use crate::http_client::Outgoing;
use axum::body::Bytes;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{Instrument as _, debug_span, info, warn};

/// What a lane's task has.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) common: Arc<Common>,
    pub(super) waiting: mpsc::Receiver<Event>,
    /// Events of this lane that were dropped since the service was last told.
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) ending: Ending,
}

/// The end of the server, as a lane waits for it.
#[derive(Debug)]
pub(super) struct Ending {
    stopping: watch::Receiver<bool>,
    has_come: bool,
}

/// How a delivery ends.
enum Outcome {
    Taken,
    GivenUp,
}

impl Lane {
    /// Runs until the server ends and nothing waits any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            if self.ending.has_come {
                self.waiting.close();
            }
            let most = self.common.config.batch_max;
            let received = tokio::select! {
                biased;
                () = self.ending.comes() => continue,
                received = self.waiting.recv_many(&mut batch, most) => received,
            };
            if received == 0 {
                return;
            }
            let span = debug_span!("webhook", events = received);
            self.deliver(&mut batch).instrument(span).await;
            batch.clear();
        }
    }

    async fn deliver(&mut self, batch: &mut Vec<Event>) {
        let received = batch.len();
        let age_max = self.common.config.age_max;
        batch.retain(|event| event.waits_since.elapsed() < age_max);
        self.lose(Loss::Late, received - batch.len());
        if batch.is_empty() {
            return;
        }
        // Behind the events: what was dropped before one of them is told no later than it.
        let dropped = self.dropped.swap(0, Ordering::AcqRel);
        let at = self.common.clock.now().unix;
        let hole = (dropped > 0).then(|| Hole { id: self.common.next_id(), at, dropped });
        let body = event::body(hole, batch, self.common.config.metadata).into();
        match self.attempts(&body).await {
            Outcome::Taken => self.common.counters.count_delivered(batch.len()),
            Outcome::GivenUp => {
                self.lose(Loss::GivenUp, batch.len());
                self.dropped.fetch_add(dropped, Ordering::AcqRel);
            }
        }
    }

    /// Tries as often as it may.
    async fn attempts(&mut self, body: &Bytes) -> Outcome {
        let common = self.common.clone();
        for attempt in 1.. {
            let Err(why) = self.attempt(body).await else {
                if attempt > 1 {
                    info!(url = ?common.config.url, attempt, "the webhook takes events again");
                }
                return Outcome::Taken;
            };
            let failures = common.counters.failures.fetch_add(1, Ordering::Relaxed) + 1;
            if failures.is_power_of_two() {
                warn!(url = ?common.config.url, why, failures, "the webhook took no events");
            }
            if attempt >= common.config.attempts_max {
                return Outcome::GivenUp;
            }
            common.counters.retries.fetch_add(1, Ordering::Relaxed);
            // Without dice the pauses of all lanes are the same.
            let dice = getrandom::u64().unwrap_or(u64::MAX);
            self.ending.pause(common.config.pause_after(attempt, dice)).await;
        }
        Outcome::GivenUp
    }

    /// Tries once. Any 2xx is good.
    async fn attempt(&self, body: &Bytes) -> Result<(), String> {
        let Common { config, clock, .. } = &*self.common;
        let url = config.url.clone();
        let (limits, body) = ((config.timeout, config.answer_bytes_max), body.clone());
        let post = Outgoing::json(url, config.secret.as_ref(), clock.now().unix, body, limits);
        match config.client.send(post).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status)),
            Err(unanswered) => Err(unanswered.to_string()),
        }
    }

    /// Counts events that won't be told, which the service will be told.
    fn lose(&self, why: Loss, events: usize) {
        if events > 0 {
            self.dropped.fetch_add(events as u64, Ordering::AcqRel);
            self.common.counters.count_lost(why, events);
        }
    }
}

impl Ending {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self { stopping, has_come: false }
    }

    /// Waits until the end comes, which it does once.
    async fn comes(&mut self) {
        if self.has_come {
            return pending().await;
        }
        // If nobody is left to say so, nobody has anything to tell either.
        let _ = self.stopping.wait_for(|stopping| *stopping).await;
        self.has_come = true;
    }

    /// Waits; not as long if the end comes, so that there is one more attempt.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.comes() => {}
        }
    }
}
