//! The task that owns the tickets of all clients, and the ways to it.

use crate::SignalConfig;
use crate::admission::{Place, Refused};
use heliograph_base::{Clock, Sample, Time};
use signal_core::SessionKey;
use signal_core::matchmaking::{
    Full, OfficeCounts, Posted, Status, Ticket, TicketId, TicketOffice,
};
use signal_core::protocol::ErrorCode;
use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// How many orders are carried out between two reads of the clock.
const BATCH_MAX: usize = 64;

/// When to come back for who finds no room in the queue: by then it is empty.
const QUEUE_RETRY: Duration = Duration::from_secs(1);

/// The way to the tickets. Clones lead to the same.
#[derive(Clone, Debug)]
pub(crate) struct Tickets {
    orders: mpsc::Sender<Order>,
    last_watch: Arc<AtomicU64>,
    counts: Arc<Mutex<OfficeCounts>>,
}

/// What an owner wants. Who doesn't hear an answer any more is none the worse.
#[derive(Debug)]
enum Order {
    Post { ticket: Ticket, place: Place, answer: oneshot::Sender<Result<Posted, Full>> },
    Look { owner: Owner, answer: oneshot::Sender<Option<Status>> },
    Watch { owner: Owner, watch: u64, answer: oneshot::Sender<Option<Status>> },
    Unwatch { id: TicketId, watch: u64 },
    Cancel { owner: Owner, answer: oneshot::Sender<Option<Status>> },
}

/// Who says that a ticket is its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) id: TicketId,
    pub(crate) key: SessionKey,
}

/// An owner who waits for what becomes of its ticket; until it is dropped the owner is there.
#[derive(Debug)]
pub(crate) struct Watch {
    tickets: Tickets,
    id: TicketId,
    number: u64,
    told: oneshot::Receiver<Option<Status>>,
}

impl Tickets {
    /// Starts the task, which ends when nobody can give orders any more.
    pub(crate) fn start(config: &SignalConfig, clock: Clock, random: [u8; 32]) -> Self {
        let (orders, received) = mpsc::channel(config.ticket_queue_max);
        let counts: Arc<Mutex<OfficeCounts>> = Arc::default();
        let office = TicketOffice::new(config.matching.clone(), random);
        let desk = Desk { office, watchers: HashMap::new(), places: HashMap::new() };
        tokio::spawn(run(desk, received, clock, counts.clone()));
        Self { orders, last_watch: Arc::default(), counts }
    }

    /// Whether the task has ended.
    pub(crate) fn failed(&self) -> bool {
        self.orders.is_closed()
    }

    /// Takes a ticket, and keeps the place of its address as long as it waits.
    ///
    /// # Errors
    /// When there is no room for it, or for the order.
    pub(crate) async fn post(&self, ticket: Ticket, place: Place) -> Result<Posted, Refused> {
        let posted = self.ask(|answer| Order::Post { ticket, place, answer }).await?;
        let full = Refused { code: ErrorCode::ServerFull, retry_after: FULL_RETRY };
        posted.map_err(|Full| full)
    }

    /// Takes a ticket whose owner goes with its connection. Nothing to wait for, if something has
    /// become of it at once.
    ///
    /// # Errors
    /// When there is no room for it, or for the order.
    pub(crate) async fn seek(
        &self,
        ticket: Ticket,
        place: Place,
    ) -> Result<(Status, Option<Seeking>), Refused> {
        let Posted { id, key, status } = self.post(ticket, place).await?;
        let owner = Owner { id, key };
        let seeking = match &status {
            Status::Waiting { .. } => {
                let watch = self.watch(owner).inspect_err(|_| self.tell_cancel(owner))?;
                Some(Seeking { watch, owner, is_over: false })
            }
            Status::Matched { .. } | Status::Expired | Status::Cancelled => None,
        };
        Ok((status, seeking))
    }

    /// What has become of a ticket; nothing if it isn't the owner's.
    ///
    /// # Errors
    /// When there is no room for the order.
    pub(crate) async fn look(&self, owner: Owner) -> Result<Option<Status>, Refused> {
        self.ask(|answer| Order::Look { owner, answer }).await
    }

    /// Takes a ticket back, and says what has become of it.
    ///
    /// # Errors
    /// When there is no room for the order.
    pub(crate) async fn cancel(&self, owner: Owner) -> Result<Option<Status>, Refused> {
        self.ask(|answer| Order::Cancel { owner, answer }).await
    }

    /// Waits for what becomes of a ticket. Whoever watched it before is told that it waits.
    ///
    /// # Errors
    /// When there is no room for the order.
    pub(crate) fn watch(&self, owner: Owner) -> Result<Watch, Refused> {
        let number = self.last_watch.fetch_add(1, Ordering::Relaxed) + 1;
        let (answer, told) = oneshot::channel();
        self.send(Order::Watch { owner, watch: number, answer })?;
        Ok(Watch { tickets: self.clone(), id: owner.id, number, told })
    }

    /// What was counted.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let OfficeCounts { matchmaker: of, abandoned, watched, kept } = counts;
        let ended = |how: &'static str, value: u64| {
            Sample::counter("signal_tickets_ended", "Tickets that ended.", value)
                .labelled("how", how)
        };
        vec![
            Sample::gauge("signal_tickets_waiting", "Tickets that wait.", of.waiting),
            Sample::gauge("signal_tickets_watched", "Of those, whose owner is there.", watched),
            Sample::gauge("signal_tickets_kept", "Tickets that ended and can be asked for.", kept),
            Sample::counter("signal_tickets", "Tickets taken.", of.tickets),
            Sample::counter("signal_matches", "Matches made.", of.matches),
            Sample::counter("signal_ticket_comparisons", COMPARISONS, of.comparisons),
            Sample::counter("signal_ticket_searches_given_up", GAVE_UP, of.gave_up),
            ended("matched", of.matched),
            ended("expired", of.expired),
            ended("cancelled", of.cancelled.saturating_sub(abandoned)),
            ended("abandoned", abandoned),
        ]
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, Refused> {
        let (answer, told) = oneshot::channel();
        self.send(order(answer))?;
        told.await.map_err(|_| BUSY)
    }

    fn send(&self, order: Order) -> Result<(), Refused> {
        self.orders.try_send(order).map_err(|_| BUSY)
    }
}

const BUSY: Refused = Refused { code: ErrorCode::Busy, retry_after: QUEUE_RETRY };

/// When to come back for who finds as many tickets as there may be.
const FULL_RETRY: Duration = Duration::from_secs(5);

const COMPARISONS: &str = "How often two tickets were compared.";
const GAVE_UP: &str = "Searches for a match that took too long and were put off.";

impl Watch {
    /// What became of the ticket; that it waits, if somebody else watches it now; nothing if it
    /// isn't the owner's.
    ///
    /// # Errors
    /// When the task has ended.
    pub(crate) async fn told(&mut self) -> Result<Option<Status>, Refused> {
        (&mut self.told).await.map_err(|_| BUSY)
    }
}

/// A ticket whose owner goes with its connection: dropped before its end, it is cancelled.
#[derive(Debug)]
pub(crate) struct Seeking {
    watch: Watch,
    owner: Owner,
    is_over: bool,
}

impl Seeking {
    /// What became of the ticket. May be dropped at any time.
    ///
    /// # Errors
    /// When the task has ended.
    pub(crate) async fn told(&mut self) -> Result<Status, Refused> {
        let told = self.watch.told().await;
        self.is_over = true;
        told.map(|status| status.unwrap_or(Status::Cancelled))
    }
}

impl Drop for Seeking {
    fn drop(&mut self) {
        if !self.is_over {
            self.watch.tickets.tell_cancel(self.owner);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tickets.tell(Order::Unwatch { id: self.id, watch: self.number });
    }
}

impl Tickets {
    /// Takes a ticket back, and nobody waits for the answer.
    fn tell_cancel(&self, owner: Owner) {
        let (answer, _) = oneshot::channel();
        self.tell(Order::Cancel { owner, answer });
    }

    /// Gives an order that is carried out, sooner or later.
    fn tell(&self, order: Order) {
        let orders = self.orders.clone();
        // Where there is room, as nearly always, it goes at once; else a task waits for it. At the
        // end of the program nobody has to know any more.
        if let Err(mpsc::error::TrySendError::Full(order)) = orders.try_send(order)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(async move { orders.send(order).await }));
        }
    }
}

async fn run(
    mut desk: Desk,
    mut orders: mpsc::Receiver<Order>,
    clock: Clock,
    counts: Arc<Mutex<OfficeCounts>>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    loop {
        let due = desk.office.poll_timeout().map(|due| due.since(clock.now().time));
        let timer = async {
            match due {
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            received = orders.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
            () = timer => {}
        }
        let now = clock.now().time;
        for order in batch.drain(..) {
            desk.carry_out(now, order);
        }
        desk.office.handle_timeout(now);
        desk.tell_watchers();
        *counts.lock().unwrap_or_else(PoisonError::into_inner) = desk.office.counts();
        // Much that is due is done in turns; others have theirs in between.
        tokio::task::yield_now().await;
    }
}

/// The office, and who waits in front of it.
#[derive(Debug)]
struct Desk {
    office: TicketOffice,
    /// By their tickets, each of which waits. Ticket ids are our own, so nobody can choose them.
    watchers: HashMap<TicketId, (u64, oneshot::Sender<Option<Status>>)>,
    /// Likewise: the places that their addresses have for them.
    places: HashMap<TicketId, Place>,
}

impl Desk {
    fn carry_out(&mut self, now: Time, order: Order) {
        match order {
            Order::Post { ticket, place, answer } => {
                let posted = self.office.handle_post(now, ticket);
                if let Ok(posted) = &posted {
                    self.places.insert(posted.id, place);
                }
                self.tell_watchers();
                // An owner that has gone meanwhile is away.
                let _ = answer.send(posted);
            }
            Order::Look { owner: Owner { id, key }, answer } => {
                let _ = answer.send(self.office.handle_look(now, id, &key));
            }
            Order::Watch { owner, watch, answer } => self.watch(now, owner, (watch, answer)),
            Order::Unwatch { id, watch } => {
                if self.watchers.get(&id).is_some_and(|(number, _)| *number == watch) {
                    self.watchers.remove(&id);
                    self.office.handle_unwatch(now, id);
                }
            }
            Order::Cancel { owner: Owner { id, key }, answer } => {
                let status = self.office.handle_cancel(now, id, &key);
                self.tell_watchers();
                let _ = answer.send(status);
            }
        }
    }

    fn watch(
        &mut self,
        now: Time,
        Owner { id, key }: Owner,
        watcher: (u64, oneshot::Sender<Option<Status>>),
    ) {
        let status = self.office.handle_watch(now, id, &key);
        if !matches!(status, Some(Status::Waiting { .. })) {
            let _ = watcher.1.send(status);
        } else if let Some((_, before)) = self.watchers.insert(id, watcher) {
            self.office.handle_unwatch(now, id);
            let _ = before.send(status);
        }
    }

    /// Tells who waits what has become of tickets, whose places are free by then.
    fn tell_watchers(&mut self) {
        while let Some((id, status)) = self.office.poll_change() {
            self.places.remove(&id);
            if let Some((_, watcher)) = self.watchers.remove(&id) {
                let _ = watcher.send(Some(status));
            }
        }
    }
}
