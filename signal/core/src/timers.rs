//! What is to be done later, for which seat.

use crate::EdgeId;
use heliograph_base::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Work for later. What has lost its reason by then is passed over by who takes it out.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) at: Time,
    /// The number of the seat, and where it is.
    pub(crate) seat: u64,
    pub(crate) place: usize,
    pub(crate) due: Due,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// Tell the client which of its requests were carried out.
    Ack,
    /// Tell the others that it is away.
    Away {
        /// In which absence.
        absence: u64,
    },
    /// End its session.
    Gone {
        /// In which absence.
        absence: u64,
    },
    /// See whether a client that listens by this edge has shown by others that it is alive.
    Silence {
        /// The edge.
        edge: EdgeId,
    },
    /// Make another member the host.
    Host {
        /// If it is still in this absence.
        absence: u64,
    },
    /// Give it new credentials.
    Ice,
    /// See whether its token has expired.
    Expiry,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Time, place: usize, seat: u64, due: Due) {
        self.heap.push(Reverse(Timer { at, seat, place, due }));
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Forgets those that nobody wants any more.
    pub(crate) fn retain(&mut self, mut is_wanted: impl FnMut(&Timer) -> bool) {
        self.heap.retain(|Reverse(timer)| is_wanted(timer));
        self.heap.shrink_to_fit();
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }

    /// Takes out the next one, if it is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timer> {
        let is_due = self.next().is_some_and(|at| at <= now);
        let timer = is_due.then(|| self.heap.pop()).flatten();
        if self.heap.is_empty() {
            self.heap.shrink_to_fit();
        }
        timer.map(|Reverse(timer)| timer)
    }
}
