//! What waits for one stream client: written by its worker, read by its connection's task.

use super::peers::Joint;
use relay_core::wire::{STREAM_MESSAGE_BYTES_MAX, stream_message_bytes};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A bounded queue of messages for one client.
///
/// Data is dropped from its old end when there is too much of it, so that a client that reads
/// slowly gets fresh data. Answers are not dropped and go first: who asks on and on without reading
/// is closed. The lock is held to append or to take a few kilobytes, once for a batch.
#[derive(Debug)]
pub(crate) struct Lane {
    waiting: Mutex<Waiting>,
    wake: Notify,
    data_bytes_max: usize,
    answer_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    answers: Vec<u8>,
    data: VecDeque<u8>,
    /// Whether the client has an allocation.
    allocated: bool,
    /// Whether more answers waited for it than may.
    overrun: bool,
    /// What the client is joined to behind its answers.
    joint: Option<Joint>,
}

/// A queue that grew beyond this is not kept once it is empty.
const KEPT_BYTES: usize = 16 << 10;

impl Lane {
    pub(crate) fn new(data_bytes_max: usize, answer_bytes_max: usize) -> Self {
        let waiting = Mutex::new(Waiting::default());
        Self { waiting, wake: Notify::new(), data_bytes_max, answer_bytes_max }
    }

    /// Appends whole messages, and says how many of the data are dropped.
    pub(crate) fn append(&self, answers: &[u8], data: &[u8], allocated: bool) -> usize {
        let mut waiting = self.lock();
        waiting.allocated = allocated;
        if waiting.answers.len() + answers.len() > self.answer_bytes_max {
            waiting.overrun = true;
        } else {
            waiting.answers.extend_from_slice(answers);
        }
        let dropped = waiting.append_data(data, self.data_bytes_max);
        drop(waiting);
        self.wake.notify_one();
        dropped
    }

    /// Leaves what the client is joined to, behind the answer that is appended next.
    pub(crate) fn join(&self, joint: Joint) {
        self.lock().joint = Some(joint);
    }

    /// Waits until something was appended since the last call.
    pub(crate) async fn appended(&self) {
        self.wake.notified().await;
    }

    /// Whether an answer found no room: the client asks on and on without reading.
    pub(crate) fn is_overrun(&self) -> bool {
        self.lock().overrun
    }

    /// Moves all answers, and data until there are `most` bytes, to the end of `taken`; whether the
    /// client has an allocation, and what it is joined to behind them.
    pub(crate) fn take(&self, taken: &mut Vec<u8>, most: usize) -> (bool, Option<Joint>) {
        let mut waiting = self.lock();
        taken.append(&mut waiting.answers);
        while !waiting.data.is_empty() && taken.len() < most {
            let front = waiting.front_bytes();
            taken.extend(waiting.data.drain(..front));
        }
        if waiting.data.is_empty() && waiting.data.capacity() > KEPT_BYTES {
            waiting.data = VecDeque::new();
        }
        (waiting.allocated, waiting.joint.take())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn append_data(&mut self, mut data: &[u8], most: usize) -> usize {
        let mut dropped = 0;
        while !self.data.is_empty() && self.data.len() + data.len() > most {
            let front = self.front_bytes();
            self.data.drain(..front);
            dropped += 1;
        }
        while data.len() > most {
            data = &data[message_bytes(data)..];
            dropped += 1;
        }
        self.data.extend(data);
        dropped
    }

    fn front_bytes(&self) -> usize {
        let mut begin = [0; 8];
        let mut known = 0;
        for (to, from) in begin.iter_mut().zip(&self.data) {
            *to = *from;
            known += 1;
        }
        message_bytes(&begin[..known])
    }
}

fn message_bytes(stream: &[u8]) -> usize {
    let bytes = stream_message_bytes(stream, STREAM_MESSAGE_BYTES_MAX);
    bytes.ok().flatten().expect("the core writes whole messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(number: u8) -> [u8; 8] {
        [0x40, 0, 0, 4, number, number, number, number]
    }

    fn taken(lane: &Lane) -> (Vec<u8>, bool) {
        let mut taken = Vec::new();
        let allocated = lane.take(&mut taken, usize::MAX).0;
        (taken, allocated)
    }

    #[test]
    fn the_oldest_data_is_dropped_first_and_counted() {
        let lane = Lane::new(16, 100);
        assert_eq!(lane.append(&[], &data(1), true), 0);
        assert_eq!(lane.append(&[], &data(2), true), 0);
        assert_eq!(lane.append(&[], &data(3), true), 1);
        assert_eq!(taken(&lane).0, [data(2), data(3)].concat());
        let many: Vec<u8> = (4..8).flat_map(data).collect();
        assert_eq!(lane.append(&[], &many, true), 2);
        assert_eq!(taken(&lane).0, [data(6), data(7)].concat());
    }

    #[test]
    fn answers_go_first_and_are_never_dropped() {
        let lane = Lane::new(8, 100);
        lane.append(b"", &data(1), false);
        lane.append(b"answer", &data(2), true);
        let (bytes, allocated) = taken(&lane);
        assert_eq!(bytes, [&b"answer"[..], &data(2)].concat());
        assert!(allocated && !lane.is_overrun());
    }

    #[test]
    fn who_asks_without_reading_is_told_off() {
        let lane = Lane::new(8, 10);
        lane.append(b"123456", &[], true);
        lane.append(b"123456", &[], true);
        assert!(lane.is_overrun());
        assert_eq!(taken(&lane).0, b"123456");
    }

    #[test]
    fn a_message_is_never_cut() {
        let lane = Lane::new(100, 100);
        lane.append(&[], &[data(1), data(2), data(3)].concat(), true);
        let mut part = Vec::new();
        lane.take(&mut part, 9);
        assert_eq!(part, [data(1), data(2)].concat());
    }
}
