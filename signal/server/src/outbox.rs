//! What waits for one session: a bounded queue from a shard to an edge, and a line to cut it at
//! once.
//!
//! The shard never waits: what doesn't fit is refused, and the shard then [cuts](Outbox::cut) the
//! session, which its edge notices even while it is stuck in writing.

use futures_util::task::AtomicWaker;
use signal_core::protocol::CloseCode;
use signal_core::{Config, Event};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Makes an empty queue with the limits `outbox_frames_max` and `outbox_bytes_max`.
pub(crate) fn outbox(config: &Config) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(config.outbox_frames_max);
    let line = Arc::new(Line::default());
    let outbox = Outbox { queue: sender, line: line.clone(), bytes_max: config.outbox_bytes_max };
    (outbox, Inbox { queue: receiver, line })
}

/// The shard's end.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Event>,
    line: Arc<Line>,
    bytes_max: usize,
}

/// The session's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Event>,
    line: Arc<Line>,
}

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too much is waiting already.
    Full,
    /// The session is no more.
    Gone,
}

#[derive(Debug, Default)]
struct Line {
    bytes: AtomicUsize,
    cut: OnceLock<CloseCode>,
    waker: AtomicWaker,
}

impl Outbox {
    /// Queues an event. If nothing with bytes is waiting, one of any size fits.
    pub(crate) fn push(&self, event: Event) -> Result<(), NotTaken> {
        let bytes = weight(&event);
        let waiting = self.line.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > self.bytes_max {
            return Err(NotTaken::Full);
        }
        // Before the event can be taken out, so that the sum never wraps below zero.
        self.line.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.queue.try_send(event).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Full,
            TrySendError::Closed(_) => NotTaken::Gone,
        })
    }

    /// Tells the session to close with `code` at once; what is queued is lost. Only the first cut
    /// counts.
    pub(crate) fn cut(&self, code: CloseCode) {
        let _ = self.line.cut.set(code);
        self.line.waker.wake();
    }
}

impl Inbox {
    /// Waits for the next event; with `take` false only for the line to be cut. May be dropped at
    /// any time.
    pub(crate) async fn event(&mut self, take: bool) -> Event {
        poll_fn(|cx| self.poll_event(cx, take)).await
    }

    /// Takes the next event if there is one.
    pub(crate) fn try_event(&mut self) -> Option<Event> {
        let event = self.queue.try_recv().ok()?;
        self.line.bytes.fetch_sub(weight(&event), Ordering::Relaxed);
        Some(event)
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, take: bool) -> Poll<Event> {
        self.line.waker.register(cx.waker());
        if let Some(code) = self.line.cut.get() {
            return Poll::Ready(Event::Close(*code));
        }
        if !take {
            return Poll::Pending;
        }
        self.queue.poll_recv(cx).map(|event| {
            // Without an outbox left, the shard is gone, and with it the server.
            let event = event.unwrap_or(Event::Close(CloseCode::Shutdown));
            self.line.bytes.fetch_sub(weight(&event), Ordering::Relaxed);
            event
        })
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Seated { welcome: frame, .. } | Event::Frame(frame) => frame.len(),
        Event::Refused { .. } | Event::Close(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use signal_core::FrameText;
    use signal_core::protocol::{LeaveReason, ServerFrame};
    use std::time::Duration;

    fn frame(bytes: usize) -> Event {
        let shell = r#"{"type":"left","peer":"","reason":"left"}"#.len();
        let peer = "x".repeat(bytes.checked_sub(shell).unwrap()).into();
        let left = ServerFrame::Left { peer, reason: LeaveReason::Left };
        Event::Frame(FrameText::encode(&left))
    }

    fn small() -> (Outbox, Inbox) {
        let config = Config { outbox_frames_max: 4, outbox_bytes_max: 1000, ..Config::default() };
        outbox(&config)
    }

    #[test]
    fn frames_and_bytes_are_both_limited() {
        let (outbox, mut inbox) = small();
        for _ in 0..4 {
            assert_eq!(outbox.push(frame(100)), Ok(()));
        }
        assert_eq!(outbox.push(frame(100)), Err(NotTaken::Full));

        let (outbox, _inbox) = small();
        assert_eq!(outbox.push(frame(600)), Ok(()));
        assert_eq!(outbox.push(frame(401)), Err(NotTaken::Full));
        assert_eq!(outbox.push(frame(400)), Ok(()));
        assert!(inbox.try_event().is_some());
    }

    #[test]
    fn a_single_frame_always_fits_and_room_comes_back() {
        let (outbox, mut inbox) = small();
        for _ in 0..10 {
            assert_eq!(outbox.push(frame(5000)), Ok(()));
            assert_eq!(outbox.push(frame(50)), Err(NotTaken::Full));
            assert!(inbox.event(true).now_or_never().is_some());
        }
    }

    #[test]
    fn a_cut_overtakes_what_is_queued() {
        let (outbox, mut inbox) = small();
        outbox.push(frame(50)).unwrap();
        assert!(inbox.event(false).now_or_never().is_none(), "nothing is to be taken");
        outbox.cut(CloseCode::SlowReader);
        let event = inbox.event(false).now_or_never();
        assert!(matches!(event, Some(Event::Close(CloseCode::SlowReader))), "{event:?}");
    }

    #[tokio::test]
    async fn a_cut_wakes_a_session_that_waits_for_its_client() {
        let (outbox, mut inbox) = small();
        let waiting = tokio::spawn(async move { inbox.event(false).await });
        tokio::task::yield_now().await;
        outbox.cut(CloseCode::SlowReader);
        let event = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(matches!(event, Ok(Ok(Event::Close(CloseCode::SlowReader)))), "{event:?}");
    }

    #[test]
    fn each_end_notices_that_the_other_is_gone() {
        let (outbox, inbox) = small();
        drop(inbox);
        assert_eq!(outbox.push(frame(50)), Err(NotTaken::Gone));
        let (outbox, mut inbox) = small();
        drop(outbox);
        let event = inbox.event(true).now_or_never();
        assert!(matches!(event, Some(Event::Close(CloseCode::Shutdown))), "{event:?}");
    }
}
