//! An end that is announced: asked for by SIGTERM or by an operator, and carried out in `run`.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Until when clients may go on, and where they are told to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drain {
    pub(crate) deadline: Instant,
    pub(crate) url: Option<String>,
}

impl Drain {
    pub(crate) fn new(within: Duration, url: Option<String>) -> Self {
        Self { deadline: Instant::now() + within, url }
    }

    /// How long is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Where ends are asked for; clones are the same. The newest counts.
#[derive(Clone, Debug)]
pub(crate) struct Drains(watch::Sender<Option<Drain>>);

impl Drains {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn order(&self, drain: Drain) {
        self.0.send_replace(Some(drain));
    }

    /// The end that was asked for, if one was.
    pub(crate) fn current(&self) -> Option<Drain> {
        self.0.borrow().clone()
    }

    /// Waits until an end is asked for.
    pub(crate) async fn ordered(&self) {
        // The sender is here, so it can't fail.
        let _ = self.subscribe().wait_for(Option::is_some).await;
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Drain>> {
        self.0.subscribe()
    }
}
