//! What an operator asks of the workers. Each has its own allocations, so each is asked, by the
//! bounded queue of its orders, and answers when it next wakes up.

use crate::Relay;
use crate::engine::Engine;
use heliograph_base::{Now, UnixTime};
use relay_core::{AllocationInfo, AllocationQuery, Revoke, SeatInfo, SeatRecord};
use std::fmt;
use tokio::sync::oneshot;

/// An order to one worker.
#[derive(Debug)]
pub(crate) enum Order {
    /// Says until when the credentials are good, at most, that are meant and used.
    LatestExpiry(Revoke, oneshot::Sender<Option<UnixTime>>),
    /// Ends the allocations that are meant, and refuses their credentials, of all workers that were
    /// asked; says how many if somebody wants to know.
    Revoke(Revoke, Option<UnixTime>, Option<oneshot::Sender<usize>>),
    /// Lists the allocations that are meant.
    List(AllocationQuery, oneshot::Sender<Vec<AllocationInfo>>),
    /// Says what is known of each of these seats.
    Seats(Vec<SeatInfo>, oneshot::Sender<Vec<SeatRecord>>),
}

impl Order {
    /// Carries it out. Who asked may be gone; then nobody is told.
    pub(crate) fn carry_out(self, now: Now, engine: &mut Engine) {
        match self {
            Self::LatestExpiry(revoke, answer) => {
                let _ = answer.send(engine.latest_expiry(&revoke));
            }
            Self::Revoke(revoke, latest, answer) => {
                let ended = engine.handle_revoke(now, &revoke, latest);
                tracing::debug!(?revoke, ended, "revoked");
                answer.map(|answer| answer.send(ended));
            }
            Self::List(query, answer) => {
                let _ = answer.send(engine.allocations(now, &query));
            }
            Self::Seats(seats, answer) => {
                let record = |seat: &SeatInfo| engine.seat_record(now, seat.name());
                let _ = answer.send(seats.iter().map(record).collect());
            }
        }
    }
}

/// A worker has no room for more orders at the moment, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a relay worker has no room for more orders: try again")
    }
}

impl std::error::Error for Busy {}

impl Relay {
    /// The live allocations that are meant, of all workers in one order. Waits for each worker.
    ///
    /// # Errors
    /// [`Busy`] if one can't be asked.
    pub async fn allocations(&self, query: &AllocationQuery) -> Result<Vec<AllocationInfo>, Busy> {
        let answers = self.ask_all(|answer| Order::List(query.clone(), answer)).await?;
        let mut all: Vec<_> = answers.into_iter().flatten().collect();
        all.sort_unstable_by_key(|info| (info.relayed, info.is_tcp));
        all.truncate(query.limit);
        Ok(all)
    }

    /// What the relay knows of each of these seats. Waits for each worker.
    ///
    /// # Errors
    /// [`Busy`] if one can't be asked.
    pub async fn seat_records(&self, seats: &[SeatInfo]) -> Result<Vec<SeatRecord>, Busy> {
        let mut all = vec![SeatRecord::default(); seats.len()];
        let answers = self.ask_all(|answer| Order::Seats(seats.to_vec(), answer)).await?;
        for answer in answers {
            for (record, of_worker) in all.iter_mut().zip(answer) {
                record.add(of_worker);
            }
        }
        Ok(all)
    }

    /// The same as [`Self::revoke`], but waits for each worker and says how many allocations ended.
    /// All workers refuse the credentials that one of them knows.
    ///
    /// # Errors
    /// [`Busy`] if one can't be told. Others may have done it.
    pub async fn revoke_counted(&self, revoke: &Revoke) -> Result<usize, Busy> {
        let latest = self.ask_all(|answer| Order::LatestExpiry(revoke.clone(), answer)).await?;
        let latest = latest.into_iter().max().flatten();
        let order = |answer| Order::Revoke(revoke.clone(), latest, Some(answer));
        let ended = self.ask_all(order).await?;
        Ok(ended.into_iter().sum())
    }

    async fn ask_all<T>(
        &self,
        order: impl Fn(oneshot::Sender<T>) -> Order,
    ) -> Result<Vec<T>, Busy> {
        let mut waiting = Vec::with_capacity(self.controls.len());
        // Every worker is told, whatever the others say.
        for control in &self.controls {
            let (answer, answered) = oneshot::channel();
            waiting.push(control.order(order(answer)).then_some(answered).ok_or(Busy));
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answered in waiting {
            answers.push(answered?.await.map_err(|_| Busy)?);
        }
        Ok(answers)
    }
}
