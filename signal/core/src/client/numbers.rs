//! The two counts of a session as its client has them: what it sent, and what has come.

use heliograph_base::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// The client's own requests that the server hasn't acknowledged.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The number of the last one that was acknowledged; 0: none.
    acked: u64,
    requests: VecDeque<KeptRequest>,
    bytes: usize,
    /// Whether one is awaited that needn't be sent again, but of which it isn't known what came.
    is_owed: bool,
}

/// One of them.
#[derive(Debug)]
struct KeptRequest {
    /// The frame, without an acknowledgement.
    text: Box<str>,
    /// Whether the program wants to know that it was carried out.
    is_awaited: bool,
}

impl Kept {
    /// The number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.acked + self.requests.len() as u64 + 1
    }

    /// Keeps a request under that number.
    pub(super) fn push(&mut self, text: &str, is_awaited: bool) {
        self.bytes += text.len();
        self.requests.push_back(KeptRequest { text: text.into(), is_awaited });
    }

    /// Whether one more is not to be taken.
    pub(super) fn is_full(&self, requests_max: usize, bytes_max: usize) -> bool {
        self.requests.len() >= requests_max || self.bytes >= bytes_max
    }

    /// Forgets the requests up to this number, which need not be sent again.
    pub(super) fn spare(&mut self, id: u64) {
        while self.acked < id
            && let Some(request) = self.requests.pop_front()
        {
            self.bytes -= request.text.len();
            self.acked += 1;
            self.is_owed |= request.is_awaited;
        }
    }

    /// The same, and it is known by now what came of them: whether one of them is awaited.
    pub(super) fn ack(&mut self, id: u64) -> bool {
        self.spare(id);
        // An old word says nothing of what came later.
        id >= self.acked && std::mem::take(&mut self.is_owed)
    }

    /// What isn't acknowledged, as it is to be sent again.
    pub(super) fn unacked(&self) -> impl Iterator<Item = &str> {
        self.requests.iter().map(|request| &*request.text)
    }
}

/// The frames that have come.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// The number of the last one.
    last: u64,
    /// Up to where this connection was told.
    told: u64,
    /// Bytes of those it wasn't told.
    bytes: usize,
    /// When it must be.
    due: Option<Time>,
}

/// What a frame's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is the next one.
    Next,
    /// It has come before.
    Again,
    /// Others before it are missing.
    TooEarly,
}

impl Came {
    /// Frames are counted from this one on, which has come.
    pub(super) fn from(seq: u64, bytes: usize, due: Time) -> Self {
        Self { last: seq, told: 0, bytes, due: Some(due) }
    }

    /// Takes note of a frame; to be acknowledged by `due`.
    pub(super) fn take(&mut self, seq: u64, bytes: usize, due: Time) -> Turn {
        if seq <= self.last {
            return Turn::Again;
        }
        if seq > self.last + 1 {
            return Turn::TooEarly;
        }
        self.last = seq;
        self.bytes += bytes;
        self.due.get_or_insert(due);
        Turn::Next
    }

    /// The number of the last frame, which the server is told by a `resume`.
    pub(super) fn tell_all(&mut self) -> u64 {
        (self.told, self.bytes, self.due) = (self.last, 0, None);
        self.last
    }

    /// The same for any other frame; none if there is no news.
    pub(super) fn news(&mut self) -> Option<u64> {
        (self.told < self.last).then(|| self.tell_all())
    }

    /// Whether so much has come that it is to be told now.
    pub(super) fn is_much(&self, frames: u64, bytes: usize) -> bool {
        self.last - self.told >= frames || self.bytes >= bytes
    }

    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }
}

/// Pauses between attempts to connect: random ones, of which the longest possible doubles, so that
/// a crowd that has lost its server doesn't come back at once.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause. `share` is a random number from 0 to 1.
    pub fn next(&mut self, first: Duration, max: Duration, share: f64) -> Duration {
        let longest = first.saturating_mul(1 << self.attempts.min(16)).min(max);
        self.attempts = self.attempts.saturating_add(1);
        longest.mul_f64(share.clamp(0.0, 1.0))
    }

    /// It worked: begins again with the first pause.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_kept_until_they_are_acknowledged() {
        let mut kept = Kept::default();
        kept.push("1", false);
        kept.push("22", true);
        assert_eq!(kept.next(), 3);
        assert!(kept.is_full(2, 99) && kept.is_full(9, 3) && !kept.is_full(3, 4));
        assert!(!kept.ack(1) && !kept.ack(0));
        assert_eq!(kept.unacked().collect::<Vec<_>>(), ["22"]);
        assert!(kept.ack(7));
        kept.push("3", true);
        assert_eq!((kept.next(), kept.bytes), (4, 1), "there never was a 7");
        kept.spare(3);
        assert!(kept.unacked().next().is_none() && !kept.ack(2));
        assert!(kept.ack(3) && !kept.ack(3), "told once");
    }

    #[test]
    fn each_frame_is_taken_once_and_in_its_turn() {
        let soon = Time::START + Duration::from_secs(1);
        let later = soon + Duration::from_secs(1);
        let mut came = Came::from(1, 10, soon);
        assert_eq!((came.news(), came.news(), came.due()), (Some(1), None, None));
        assert_eq!([came.take(1, 1, soon), came.take(3, 1, soon)], [Turn::Again, Turn::TooEarly]);
        assert_eq!([came.take(2, 5, soon), came.take(3, 5, later)], [Turn::Next, Turn::Next]);
        assert_eq!(came.due(), Some(soon), "the first that waits decides");
        assert!(came.is_much(2, 99) && came.is_much(9, 10) && !came.is_much(3, 11));
        assert_eq!(came.tell_all(), 3);
        assert!(!came.is_much(1, 1));
    }

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_again() {
        let (first, max) = (Duration::from_millis(500), Duration::from_secs(3));
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..5).map(|_| backoff.next(first, max, 1.0).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.next(first, max, 0.5).as_millis(), 250);
        for _ in 0..100 {
            assert!(backoff.next(first, max, 1.0) <= max);
        }
    }
}
