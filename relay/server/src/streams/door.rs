//! How connections reach the worker that they belong to.

use super::clients::Arrival;
use crate::handover::Control;
use std::sync::Arc;
use tokio::sync::mpsc::{Permit, Sender};

/// The way to one worker: a bounded queue, and its bell.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    queue: Sender<Arrival>,
    control: Arc<Control>,
}

impl Door {
    pub(crate) fn new(queue: Sender<Arrival>, control: Arc<Control>) -> Self {
        Self { queue, control }
    }

    /// Waits for room in the queue; nothing if the worker has ended. [`Self::ring`] after it.
    pub(super) async fn room(&self) -> Option<Permit<'_, Arrival>> {
        self.queue.reserve().await.ok()
    }

    /// Wakes the worker.
    pub(super) fn ring(&self) {
        self.control.ring();
    }

    /// Sends as soon as there is room; whether the worker is there to take it.
    pub(super) async fn send(&self, arrival: Arrival) -> bool {
        let sent = self.queue.send(arrival).await.is_ok();
        self.ring();
        sent
    }
}
