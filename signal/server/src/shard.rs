//! A shard: one task that owns one hub, and the outboxes of the sessions in its rooms.

use crate::OnDeparture;
use crate::outbox::{NotTaken, Outbox};
use ahash::RandomState;
use heliograph_base::{Clock, Now};
use signal_core::protocol::LeaveReason;
use signal_core::{Counts, Event, Hub, Output, Request, SessionId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// How many messages are handled between two reads of the clock.
const BATCH_MAX: usize = 64;

/// A session's request.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) session: SessionId,
    pub(crate) request: Request,
    /// Where to answer; comes with each [`Request::Join`].
    pub(crate) outbox: Option<Outbox>,
}

/// A hub's counts as of its last batch, for whoever wants to know.
#[derive(Debug, Default)]
pub(crate) struct SharedCounts {
    rooms: AtomicU64,
    members: AtomicU64,
    joins: AtomicU64,
    signals: AtomicU64,
    slow: AtomicU64,
}

/// Runs until nobody can send messages any more.
pub(crate) async fn run(
    hub: Hub,
    mut messages: mpsc::Receiver<Message>,
    clock: Clock,
    counts: &SharedCounts,
    on_departure: Option<OnDeparture>,
) {
    // Session ids are our own, so nobody can choose them to collide: the seeds needn't be secret.
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let mut shard = Shard { hub, outboxes: HashMap::with_hasher(hasher), on_departure };
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while messages.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let now = clock.now();
        for message in batch.drain(..) {
            shard.handle(now, message);
        }
        counts.store(shard.hub.counts());
    }
}

#[derive(Debug)]
struct Shard {
    hub: Hub,
    outboxes: HashMap<SessionId, Outbox, RandomState>,
    on_departure: Option<OnDeparture>,
}

impl Shard {
    fn handle(&mut self, now: Now, message: Message) {
        let Message { session, request, outbox } = message;
        if let Some(outbox) = outbox {
            self.outboxes.insert(session, outbox);
        }
        if matches!(request, Request::Leave(_)) {
            self.outboxes.remove(&session);
        }
        self.hub.handle(now, session, request);
        while let Some(output) = self.hub.poll_output() {
            self.deliver(output);
        }
        while let Some(departure) = self.hub.poll_departure() {
            if let Some(OnDeparture(tell)) = &self.on_departure {
                tell(&departure);
            }
        }
        if !self.hub.has_seat(session) {
            // Its join was refused: the next one may go to another shard.
            self.outboxes.remove(&session);
        }
    }

    fn deliver(&mut self, Output { to, event }: Output) {
        let Some(outbox) = self.outboxes.get(&to) else {
            return;
        };
        if let Event::Close(code) = event {
            outbox.cut(code);
            self.outboxes.remove(&to);
            return;
        }
        match outbox.push(event) {
            Ok(()) => {}
            Err(NotTaken::Full) => self.hub.handle_full_outbox(to),
            Err(NotTaken::Gone) => {
                self.outboxes.remove(&to);
                self.hub.handle_leave(to, LeaveReason::Lost);
            }
        }
    }
}

impl SharedCounts {
    pub(crate) fn load(&self) -> Counts {
        Counts {
            rooms: self.rooms.load(Ordering::Relaxed),
            members: self.members.load(Ordering::Relaxed),
            joins: self.joins.load(Ordering::Relaxed),
            signals: self.signals.load(Ordering::Relaxed),
            slow: self.slow.load(Ordering::Relaxed),
        }
    }

    fn store(&self, counts: Counts) {
        let Counts { rooms, members, joins, signals, slow } = counts;
        self.rooms.store(rooms, Ordering::Relaxed);
        self.members.store(members, Ordering::Relaxed);
        self.joins.store(joins, Ordering::Relaxed);
        self.signals.store(signals, Ordering::Relaxed);
        self.slow.store(slow, Ordering::Relaxed);
    }
}
