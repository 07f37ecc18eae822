//! A timer for a deadline that nearly always moves on before it comes.

use heliograph_base::Time;
use std::pin::Pin;
use tokio::time::{Instant, Sleep};

/// A timer that is set anew only when it must ring earlier. So it may ring in vain, and whoever
/// hears it looks whether there is something to do.
pub(crate) struct Alarm<'a> {
    pub(crate) timer: Pin<&'a mut Sleep>,
    at: Option<Time>,
}

impl<'a> Alarm<'a> {
    /// An alarm that is off; the timer rings at any time.
    pub(crate) fn new(timer: Pin<&'a mut Sleep>) -> Self {
        Self { timer, at: None }
    }

    /// Sees to it that it rings by this time.
    pub(crate) fn set(&mut self, now: Time, deadline: Option<Time>) {
        let Some(deadline) = deadline else { return };
        if self.at.is_none_or(|at| deadline < at) {
            self.timer.as_mut().reset(Instant::now() + deadline.since(now));
            self.at = Some(deadline);
        }
    }

    /// Waits until it rings; for ever, if it is off.
    pub(crate) async fn ring(&mut self) {
        if self.at.is_none() {
            std::future::pending::<()>().await;
        }
        self.timer.as_mut().await;
        self.at = None;
    }
}
