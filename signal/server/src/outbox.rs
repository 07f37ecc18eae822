//! What waits for one edge: a bounded queue from a shard, and a word to end at once.
//!
//! The shard never waits: what doesn't fit is refused, and the shard then [cuts](Outbox::cut) the
//! edge, which notices even while it is stuck in writing. The queue has a lock of its own, held for
//! as long as it takes to push or pop; an empty one holds no memory.

use futures_util::task::AtomicWaker;
use signal_core::protocol::CloseCode;
use signal_core::{Event, Queue};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Makes an empty queue for so many events.
pub(crate) fn outbox(events_max: usize) -> (Outbox, Inbox) {
    let line = Arc::new(Line { waiting: Mutex::default(), waker: AtomicWaker::new(), events_max });
    (Outbox(line.clone()), Inbox(line))
}

/// The shard's end.
#[derive(Debug)]
pub(crate) struct Outbox(Arc<Line>);

/// The edge's end.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Line>);

/// Why an event was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too much is waiting already.
    Full,
    /// The edge is no more.
    Gone,
}

#[derive(Debug)]
struct Line {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
    events_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Queue<Event>,
    /// Overtakes all events.
    cut: Option<CloseCode>,
    is_shard_gone: bool,
    is_edge_gone: bool,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is locked; if it did, the queue would be as good as it was.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Queues an event.
    pub(crate) fn push(&self, event: Event) -> Result<(), NotTaken> {
        let mut waiting = self.0.lock();
        if waiting.is_edge_gone {
            return Err(NotTaken::Gone);
        }
        if waiting.events.len() >= self.0.events_max {
            return Err(NotTaken::Full);
        }
        waiting.events.push(event);
        drop(waiting);
        self.0.waker.wake();
        Ok(())
    }

    /// Tells the edge to close with `code` at once; what is queued is lost. Only the first cut
    /// counts.
    pub(crate) fn cut(&self, code: CloseCode) {
        self.0.lock().cut.get_or_insert(code);
        self.0.waker.wake();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.lock().is_shard_gone = true;
        self.0.waker.wake();
    }
}

impl Inbox {
    /// Takes the next event if there is one.
    pub(crate) fn try_event(&mut self) -> Option<Event> {
        self.0.lock().events.pop()
    }

    /// Gives the next event once there is one; with `take` false only that the line is cut.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>, take: bool) -> Poll<Event> {
        self.0.waker.register(cx.waker());
        let mut waiting = self.0.lock();
        let event = match waiting.cut {
            Some(code) => Some(Event::Close(code)),
            None if take => waiting.events.pop(),
            None => return Poll::Pending,
        };
        match event {
            Some(event) => Poll::Ready(event),
            // Without its shard there is no server.
            None if waiting.is_shard_gone => Poll::Ready(Event::Close(CloseCode::Shutdown)),
            None => Poll::Pending,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.is_edge_gone = true;
        waiting.events = Queue::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use signal_core::protocol::ErrorCode;
    use std::time::Duration;

    impl Inbox {
        async fn event(&mut self, take: bool) -> Event {
            std::future::poll_fn(|cx| self.poll_event(cx, take)).await
        }
    }

    fn event(id: u64) -> Event {
        Event::Refused { code: ErrorCode::NoSuchPeer, text: None, id: Some(id), retry_after: None }
    }

    fn id(event: Option<Event>) -> Option<u64> {
        match event {
            Some(Event::Refused { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_are_limited_keep_their_order_and_room_comes_back() {
        let (outbox, mut inbox) = outbox(2);
        assert_eq!((outbox.push(event(1)), outbox.push(event(2))), (Ok(()), Ok(())));
        assert_eq!(outbox.push(event(3)), Err(NotTaken::Full));
        assert_eq!(id(inbox.try_event()), Some(1));
        assert_eq!(outbox.push(event(4)), Ok(()));
        assert_eq!(id(inbox.event(true).now_or_never()), Some(2));
        assert_eq!(id(inbox.event(true).now_or_never()), Some(4));
        assert!(inbox.event(true).now_or_never().is_none());
    }

    #[test]
    fn nothing_is_lost_while_nothing_is_to_be_taken() {
        let (outbox, mut inbox) = outbox(2);
        outbox.push(event(1)).unwrap();
        assert!(inbox.event(false).now_or_never().is_none());
        assert_eq!(id(inbox.event(true).now_or_never()), Some(1));
    }

    #[test]
    fn a_cut_overtakes_what_is_queued() {
        let (outbox, mut inbox) = outbox(2);
        outbox.push(event(1)).unwrap();
        outbox.cut(CloseCode::SlowReader);
        outbox.cut(CloseCode::Superseded);
        let event = inbox.event(false).now_or_never();
        assert!(matches!(event, Some(Event::Close(CloseCode::SlowReader))), "{event:?}");
    }

    #[tokio::test]
    async fn a_cut_wakes_an_edge_that_waits_for_its_client() {
        let (outbox, mut inbox) = outbox(2);
        let waiting = tokio::spawn(async move { inbox.event(false).await });
        tokio::task::yield_now().await;
        outbox.cut(CloseCode::SlowReader);
        let event = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(matches!(event, Ok(Ok(Event::Close(CloseCode::SlowReader)))), "{event:?}");
    }

    #[test]
    fn each_end_notices_that_the_other_is_gone() {
        let (near, inbox) = outbox(2);
        drop(inbox);
        assert_eq!(near.push(event(1)), Err(NotTaken::Gone));
        let (near, mut inbox) = outbox(2);
        near.push(event(1)).unwrap();
        drop(near);
        assert_eq!(id(inbox.event(true).now_or_never()), Some(1), "what was queued is to be had");
        let event = inbox.event(true).now_or_never();
        assert!(matches!(event, Some(Event::Close(CloseCode::Shutdown))), "{event:?}");
    }
}
