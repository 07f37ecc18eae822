//! The one queue between a room's tasks and the program, which keeps the order of all events.
//!
//! What waits is bounded by kind: a lossy message that doesn't fit is dropped, a reliable one waits
//! outside, and a life event always fits until the program has plainly stopped to read.

use crate::config::{EVENTS_WAITING_MAX, MESSAGES_WAITING_MAX};
use crate::{Error, Event};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The program or the room is gone: nobody will read this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    closed: bool,
}

impl Inbox {
    /// Adds a life event. The one too many is replaced by the news that the room is left, and
    /// closes the queue.
    pub(crate) fn push(&self, event: Event) -> Result<(), Closed> {
        let mut waiting = self.open()?;
        if waiting.events.len() < EVENTS_WAITING_MAX {
            waiting.events.push_back(event);
            drop(waiting);
            self.filled.notify_one();
            return Ok(());
        }
        waiting.events.push_back(Event::SignalingEnded(Error::NotRead));
        drop(waiting);
        self.close();
        Err(Closed)
    }

    /// Adds a message if it fits, and says whether it did.
    pub(crate) fn push_lossy(&self, message: Event) -> Result<bool, Closed> {
        let mut waiting = self.open()?;
        if waiting.events.len() >= MESSAGES_WAITING_MAX {
            return Ok(false);
        }
        waiting.events.push_back(message);
        drop(waiting);
        self.filled.notify_one();
        Ok(true)
    }

    /// Adds a message when it fits.
    pub(crate) async fn push_reliable(&self, message: Event) -> Result<(), Closed> {
        loop {
            let mut drained = pin!(self.drained.notified());
            drained.as_mut().enable();
            {
                let mut waiting = self.open()?;
                if waiting.events.len() < MESSAGES_WAITING_MAX {
                    waiting.events.push_back(message);
                    break;
                }
            }
            drained.await;
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the next event if there is one. `Err` once the queue is closed and empty.
    pub(crate) fn try_next(&self) -> Result<Option<Event>, Closed> {
        let mut waiting = self.lock();
        let event = waiting.events.pop_front();
        let closed = waiting.closed;
        drop(waiting);
        match event {
            Some(event) => {
                self.drained.notify_waiters();
                Ok(Some(event))
            }
            None if closed => Err(Closed),
            None => Ok(None),
        }
    }

    /// Takes the next event. There is one reader.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            match self.try_next() {
                Ok(Some(event)) => return Some(event),
                Ok(None) => self.filled.notified().await,
                Err(Closed) => return None,
            }
        }
    }

    /// Takes nothing more; what waits can still be read.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
        self.closed.notify_one();
    }

    /// Resolves when the queue is closed. There is one waiter.
    pub(crate) async fn closed(&self) {
        while !self.lock().closed {
            self.closed.notified().await;
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, Waiting>, Closed> {
        let waiting = self.lock();
        if waiting.closed { Err(Closed) } else { Ok(waiting) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn event() -> Event {
        Event::SignalingEnded(Error::BadMetadata)
    }

    #[tokio::test]
    async fn a_lossy_message_is_dropped_and_a_reliable_one_waits_when_the_queue_is_full() {
        let inbox = Arc::new(Inbox::default());
        for _ in 0..MESSAGES_WAITING_MAX {
            assert_eq!(inbox.push_lossy(event()), Ok(true));
        }
        assert_eq!(inbox.push_lossy(event()), Ok(false));
        let late = tokio::spawn({
            let inbox = Arc::clone(&inbox);
            async move { inbox.push_reliable(event()).await }
        });
        tokio::task::yield_now().await;
        assert!(!late.is_finished());
        assert!(inbox.next().await.is_some());
        assert_eq!(late.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_program_that_stopped_to_read_is_told_so_last() {
        let inbox = Inbox::default();
        while inbox.push(event()) == Ok(()) {}
        inbox.closed().await;
        assert_eq!(inbox.push_lossy(event()), Err(Closed));
        let mut last = None;
        while let Some(event) = inbox.next().await {
            last = Some(event);
        }
        assert!(matches!(last, Some(Event::SignalingEnded(Error::NotRead))));
    }

    #[tokio::test]
    async fn a_waiting_sender_and_a_waiting_reader_learn_of_the_end() {
        let inbox = Arc::new(Inbox::default());
        let reader = tokio::spawn({
            let inbox = Arc::clone(&inbox);
            async move { inbox.next().await.is_none() }
        });
        tokio::task::yield_now().await;
        inbox.close();
        assert!(reader.await.unwrap());
        assert_eq!(inbox.push_reliable(event()).await, Err(Closed));
    }
}
