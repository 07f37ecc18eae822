//! What goes on on one HTTP connection: how many requests are under way, and whether the client
//! takes what it is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::sleep;

/// Counts of one connection.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// Requests under way, and how many there ever were.
    open: AtomicUsize,
    begun: AtomicU64,
    /// Pieces of answers that wait to be sent, and how many were.
    untaken: AtomicUsize,
    taken: AtomicU64,
}

impl Activity {
    /// Waits until nothing was under way for this long; for up to twice that if something was.
    pub(crate) async fn is_idle(&self, limit: Duration) {
        let mut before = self.begun.load(Relaxed);
        loop {
            sleep(limit).await;
            let begun = self.begun.load(Relaxed);
            if self.open.load(Relaxed) == 0 && begun == before {
                return;
            }
            before = begun;
        }
    }

    /// Waits until there was something to take for this long, and nothing was taken; for up to
    /// twice that.
    pub(crate) async fn stands_still(&self, limit: Duration) {
        let mut before = None;
        loop {
            sleep(limit).await;
            let waits = self.untaken.load(Relaxed) > 0;
            let now = waits.then(|| self.taken.load(Relaxed));
            if waits && now == before {
                return;
            }
            before = now;
        }
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Activity>);

impl UnderWay {
    pub(crate) fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Relaxed);
        activity.begun.fetch_add(1, Relaxed);
        Self(activity.clone())
    }

    /// A piece of its answer waits to be sent.
    pub(crate) fn gives(&self) -> Untaken {
        self.0.untaken.fetch_add(1, Relaxed);
        Untaken(self.0.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// A piece of an answer that waits to be sent; dropped when it was.
#[derive(Debug)]
pub(crate) struct Untaken(Arc<Activity>);

impl Drop for Untaken {
    fn drop(&mut self) {
        self.0.taken.fetch_add(1, Relaxed);
        self.0.untaken.fetch_sub(1, Relaxed);
    }
}
