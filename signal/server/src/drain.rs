//! The end that is announced: clients are told one after the other, and joins go elsewhere.

use signal_core::Edge;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// An announced end.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: Instant,
    url: Option<String>,
    per_s: u32,
    told: AtomicU32,
}

impl Drain {
    pub(crate) fn new(within: Duration, url: Option<String>, per_s: u32) -> Self {
        let (per_s, told) = (per_s.max(1), AtomicU32::new(0));
        Self { deadline: Instant::now() + within, url, per_s, told }
    }

    /// How long is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits until it is the turn of one more client, which is never later than the deadline.
    pub(crate) async fn turn(&self) {
        let place = self.told.fetch_add(1, Ordering::Relaxed);
        let wait = Duration::from_secs(1) * place / self.per_s;
        tokio::select! {
            () = sleep(wait) => {}
            () = sleep_until(self.deadline) => {}
        }
    }

    /// Tells a client.
    pub(crate) fn tell(&self, edge: &mut Edge) {
        edge.handle_goaway(self.left().as_secs(), self.url.as_deref());
    }
}

/// A future that is done only once the server is about to end, and is asked no sooner: to ask it
/// each time that a task wakes would cost more than most of what tasks wake for.
///
/// To be awaited in one task only, which is the one that it wakes.
pub(crate) struct Seldom<'a, F> {
    future: Pin<&'a mut F>,
    /// Turns true before the future's cause comes about.
    is_near: &'a AtomicBool,
    has_asked: bool,
}

impl<'a, F> Seldom<'a, F> {
    pub(crate) fn new(future: Pin<&'a mut F>, is_near: &'a AtomicBool) -> Self {
        Self { future, is_near, has_asked: false }
    }

    /// Waits for another one from now on.
    pub(crate) fn set(&mut self, future: F) {
        self.future.set(future);
        self.has_asked = false;
    }
}

impl<F: Future> Future for Seldom<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.has_asked && !self.is_near.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.has_asked = true;
        self.future.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn clients_are_told_one_after_the_other_and_all_before_the_deadline() {
        let drain = Drain::new(Duration::from_secs(2), None, 10);
        let begin = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..30 {
            let turn = async {
                drain.turn().await;
                Instant::now()
            };
            waits.push(turn);
        }
        let told = futures_util::future::join_all(waits).await;
        let after: Vec<_> = told.iter().map(|at| (*at - begin).as_millis()).collect();
        assert_eq!(after[..3], [0, 100, 200]);
        assert!(after.iter().all(|ms| *ms <= 2000), "{after:?}");
    }
}
