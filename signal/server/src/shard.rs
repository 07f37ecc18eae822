//! A shard: one task that owns one hub, and the outboxes of the edges of its sessions.

use crate::alarm::Alarm;
use crate::edges::Lanes;
use crate::orders::Order;
use crate::outbox::{NotTaken, Outbox};
use crate::webhooks::Webhooks;
use crate::{OnDeparture, SignalConfig};
use ahash::RandomState;
use heliograph_base::{Clock, Now};
use signal_core::{Counts, Detached, EdgeId, Event, Happening, Hub, Output, PairCounts, Request};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How many messages are handled between two reads of the clock.
const BATCH_MAX: usize = 64;

/// An edge's request.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) edge: EdgeId,
    pub(crate) request: Request,
    /// Where to answer; comes with each [`Request::Join`] and [`Request::Resume`].
    pub(crate) outbox: Option<Outbox>,
}

/// A hub's counts as of its last batch, for whoever wants to know.
#[derive(Debug, Default)]
pub(crate) struct SharedCounts {
    rooms: AtomicU64,
    members: AtomicU64,
    joins: AtomicU64,
    resumes: AtomicU64,
    resyncs: AtomicU64,
    signals: AtomicU64,
    broadcasts: AtomicU64,
    undelivered: AtomicU64,
    slow: AtomicU64,
    pairs: SharedPairs,
}

/// Its [`PairCounts`].
#[derive(Debug, Default)]
struct SharedPairs {
    direct: AtomicU64,
    relayed: AtomicU64,
    connecting: AtomicU64,
    interrupted: AtomicU64,
    failed: AtomicU64,
}

/// What waits for a shard.
#[derive(Debug)]
pub(crate) struct Queues {
    begun: mpsc::Receiver<Message>,
    resumes: mpsc::Receiver<Message>,
    joins: mpsc::Receiver<Message>,
}

/// The ways to a shard, and their other ends.
pub(crate) fn lanes(config: &SignalConfig) -> (Lanes, Queues) {
    let (begun, of_begun) = mpsc::channel(config.shard_queue_max);
    let (resumes, of_resumes) = mpsc::channel(config.resume_queue_max);
    let (joins, of_joins) = mpsc::channel(config.join_queue_max);
    let queues = Queues { begun: of_begun, resumes: of_resumes, joins: of_joins };
    (Lanes { begun, resumes, joins }, queues)
}

impl Queues {
    /// Waits for messages, and takes some: first what sessions ask for, then who wants one back,
    /// then who wants one. So that nobody starves, each gets at least a few of each batch. Nothing
    /// once nobody can send any more.
    async fn receive(&mut self, batch: &mut Vec<Message>) -> bool {
        let mut wanted = None;
        tokio::select! {
            biased;
            received = self.begun.recv_many(batch, BATCH_MAX) => if received == 0 { return false },
            Some(message) = self.resumes.recv() => wanted = Some(message),
            Some(message) = self.joins.recv() => wanted = Some(message),
        }
        let mut entrants: Vec<Message> = wanted.into_iter().collect();
        for queue in [&mut self.resumes, &mut self.joins] {
            let room = BATCH_MAX.saturating_sub(batch.len() + entrants.len());
            let more = std::iter::from_fn(|| queue.try_recv().ok());
            entrants.extend(more.take(room.max(LEAST_SHARE)));
        }
        if !entrants.is_empty() {
            // Who left and comes again has left first, though both came just now.
            self.receive_begun(batch);
            batch.append(&mut entrants);
        }
        true
    }

    /// Takes all that sessions have asked for until now.
    fn receive_begun(&mut self, batch: &mut Vec<Message>) {
        let there = self.begun.len();
        batch.extend(std::iter::from_fn(|| self.begun.try_recv().ok()).take(there));
    }
}

/// How many resumes and joins each batch takes, however much sessions ask for.
const LEAST_SHARE: usize = 4;

/// Who else is told what happens in rooms.
#[derive(Clone, Debug)]
pub(crate) struct Followers {
    pub(crate) on_departure: Option<OnDeparture>,
    pub(crate) webhooks: Option<Webhooks>,
}

/// Runs until nobody can send messages any more.
pub(crate) async fn run(
    hub: Hub,
    mut queues: Queues,
    mut orders: mpsc::Receiver<Order>,
    clock: Clock,
    counts: &SharedCounts,
    followers: Followers,
) {
    // Edge ids are our own, so nobody can choose them to collide: the seeds needn't be secret.
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let outboxes = HashMap::with_hasher(hasher);
    let mut shard = Shard { hub, outboxes, gone: Vec::new(), followers };
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let timer = pin!(sleep(Duration::ZERO));
    let mut alarm = Alarm::new(timer);
    loop {
        alarm.set(clock.now().time, shard.hub.poll_timeout());
        tokio::select! {
            biased;
            // First: the others may have so much to ask that it never were the operator's turn.
            Some(order) = orders.recv() => order.carry_out(clock.now(), &mut shard.hub),
            is_open = queues.receive(&mut batch) => if !is_open { return },
            () = alarm.ring() => {}
        }
        let now = clock.now();
        shard.pass_on(now);
        shard.handle_all(now, &mut batch);
        // What an edge has to say at its end is in the queue before it is gone.
        while let gone = std::mem::take(&mut shard.gone)
            && !gone.is_empty()
        {
            queues.receive_begun(&mut batch);
            shard.handle_all(now, &mut batch);
            shard.detach(now, gone);
        }
        shard.handle_timeout(now);
        counts.store(shard.hub.counts());
    }
}

#[derive(Debug)]
struct Shard {
    hub: Hub,
    outboxes: HashMap<EdgeId, Outbox, RandomState>,
    /// Edges that turned out to be gone.
    gone: Vec<EdgeId>,
    followers: Followers,
}

impl Shard {
    fn handle_all(&mut self, now: Now, batch: &mut Vec<Message>) {
        for message in batch.drain(..) {
            self.handle(now, message);
        }
    }

    /// Lets sessions wait for another edge whose edge is gone without a word.
    fn detach(&mut self, now: Now, gone: Vec<EdgeId>) {
        for edge in gone {
            self.hub.handle(now, edge, Request::Detach(Detached::Lost));
            self.pass_on(now);
        }
    }

    fn handle(&mut self, now: Now, message: Message) {
        let Message { edge, request, outbox } = message;
        if let Some(outbox) = outbox {
            self.outboxes.insert(edge, outbox);
        }
        self.hub.handle(now, edge, request);
        self.pass_on(now);
        if !self.hub.knows(edge) {
            // It was refused: the next one may go to another shard.
            self.outboxes.remove(&edge);
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.hub.poll_timeout().is_some_and(|due| due <= now.time) {
            self.hub.handle_timeout(now);
            self.pass_on(now);
        }
    }

    fn pass_on(&mut self, now: Now) {
        while let Some(output) = self.hub.poll_output() {
            self.deliver(now, output);
        }
        while let Some(happening) = self.hub.poll_happening() {
            self.followers.tell(now, happening);
        }
    }

    fn deliver(&mut self, now: Now, Output { to, event }: Output) {
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
            Err(NotTaken::Full) => self.hub.handle_full_edge(now.time, to),
            Err(NotTaken::Gone) => {
                self.outboxes.remove(&to);
                self.gone.push(to);
            }
        }
    }
}

impl Followers {
    fn tell(&self, now: Now, happening: Happening) {
        if let (Happening::Left(departure), Some(OnDeparture(tell))) =
            (&happening, &self.on_departure)
        {
            tell(departure);
        }
        if let Some(webhooks) = &self.webhooks {
            webhooks.push(now.unix, happening);
        }
    }
}

impl SharedCounts {
    pub(crate) fn load(&self) -> Counts {
        Counts {
            rooms: self.rooms.load(Ordering::Relaxed),
            members: self.members.load(Ordering::Relaxed),
            joins: self.joins.load(Ordering::Relaxed),
            resumes: self.resumes.load(Ordering::Relaxed),
            resyncs: self.resyncs.load(Ordering::Relaxed),
            signals: self.signals.load(Ordering::Relaxed),
            broadcasts: self.broadcasts.load(Ordering::Relaxed),
            undelivered: self.undelivered.load(Ordering::Relaxed),
            slow: self.slow.load(Ordering::Relaxed),
            pairs: self.pairs.load(),
        }
    }

    fn store(&self, counts: Counts) {
        let Counts {
            rooms,
            members,
            joins,
            resumes,
            resyncs,
            signals,
            broadcasts,
            undelivered,
            slow,
            pairs,
        } = counts;
        self.rooms.store(rooms, Ordering::Relaxed);
        self.members.store(members, Ordering::Relaxed);
        self.joins.store(joins, Ordering::Relaxed);
        self.resumes.store(resumes, Ordering::Relaxed);
        self.resyncs.store(resyncs, Ordering::Relaxed);
        self.signals.store(signals, Ordering::Relaxed);
        self.broadcasts.store(broadcasts, Ordering::Relaxed);
        self.undelivered.store(undelivered, Ordering::Relaxed);
        self.slow.store(slow, Ordering::Relaxed);
        self.pairs.store(pairs);
    }
}

impl SharedPairs {
    fn load(&self) -> PairCounts {
        PairCounts {
            direct: self.direct.load(Ordering::Relaxed),
            relayed: self.relayed.load(Ordering::Relaxed),
            connecting: self.connecting.load(Ordering::Relaxed),
            interrupted: self.interrupted.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn store(&self, counts: PairCounts) {
        let PairCounts { direct, relayed, connecting, interrupted, failed } = counts;
        self.direct.store(direct, Ordering::Relaxed);
        self.relayed.store(relayed, Ordering::Relaxed);
        self.connecting.store(connecting, Ordering::Relaxed);
        self.interrupted.store(interrupted, Ordering::Relaxed);
        self.failed.store(failed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::outbox;
    use signal_core::protocol::LeaveReason;
    use signal_core::{Config, Departure, Join, Metadata, RoomId, Seed};
    use std::sync::{Arc, Mutex};

    fn join(edge: u64, outbox: Outbox) -> Message {
        let join = Join {
            room: RoomId::parse("demo").unwrap(),
            metadata: Metadata::new(None, 2).unwrap(),
            once: None,
            ice: Arc::default(),
            create: None,
            password: None,
            after: None,
            source: None,
            id: None,
            token: None,
            grant: None,
        };
        Message { edge: EdgeId(edge), request: Request::Join(Box::new(join)), outbox: Some(outbox) }
    }

    fn leave(edge: u64) -> Message {
        Message { edge: EdgeId(edge), request: Request::Leave(LeaveReason::Left), outbox: None }
    }

    #[tokio::test]
    async fn two_who_leave_at_once_leave_no_ghost() {
        let config = SignalConfig::default();
        let (lanes, queues) = lanes(&config);
        let (_orders, of_orders) = mpsc::channel(1);
        let hub = Hub::new(Config::default(), None, &Seed { hub: 0, random: [7; 32] });
        let counts = Arc::new(SharedCounts::default());
        let shared = counts.clone();
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let noted = reasons.clone();
        let note = move |departure: &Departure| noted.lock().unwrap().push(departure.reason);
        let on_departure = OnDeparture(Arc::new(note));
        let followers = Followers { on_departure: Some(on_departure), webhooks: None };
        tokio::spawn(async move {
            run(hub, queues, of_orders, Clock::start(), &shared, followers).await;
        });
        let until = |members| {
            let counts = counts.clone();
            async move {
                while counts.load().members != members {
                    tokio::task::yield_now().await;
                }
            }
        };
        let mut inboxes = Vec::new();
        for edge in 0..2 {
            let (outbox, inbox) = outbox(64);
            inboxes.push(inbox);
            lanes.joins.try_send(join(edge, outbox)).unwrap();
        }
        until(2).await;
        // Both are gone by the time that the shard comes to tell the second of the first.
        drop(inboxes);
        lanes.begun.try_send(leave(0)).unwrap();
        lanes.begun.try_send(leave(1)).unwrap();
        until(0).await;
        assert_eq!(*reasons.lock().unwrap(), [LeaveReason::Left; 2]);
    }
}
