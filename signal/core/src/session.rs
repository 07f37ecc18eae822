//! What a session keeps so that nothing is lost or done twice, whatever happens to its connections.

use crate::{FrameText, Queue};

/// What one client was sent and has not acknowledged yet.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The number of the last frame that was acknowledged; 0: none.
    acked: u64,
    frames: Queue<Sent>,
    bytes: usize,
}

/// A frame that is kept until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) frame: FrameText,
    /// The request that it passes on, if its sender wants to know what becomes of it.
    pub(crate) origin: Option<Origin>,
}

/// A numbered request of another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The sender's seat.
    pub(crate) seat: u64,
    /// Where it is.
    pub(crate) place: usize,
    /// The request's number.
    pub(crate) id: u64,
}

impl Outgoing {
    /// Keeps a frame, and says which number it has.
    pub(crate) fn push(&mut self, sent: Sent) -> u64 {
        self.bytes += sent.frame.len();
        self.frames.push(sent);
        self.last()
    }

    /// The number of the last frame.
    pub(crate) fn last(&self) -> u64 {
        self.acked + self.frames.len() as u64
    }

    /// Forgets the frames up to this number; `false` if there never was such a frame.
    pub(crate) fn ack(&mut self, seq: u64) -> bool {
        if seq > self.last() {
            return false;
        }
        while self.acked < seq {
            let sent = self.frames.pop().expect("the last one isn't acknowledged");
            self.bytes -= sent.frame.len();
            self.acked += 1;
        }
        true
    }

    /// Whether a client that has all frames up to this one can be given all the others.
    pub(crate) fn can_go_on_after(&self, seq: u64) -> bool {
        (self.acked..=self.last()).contains(&seq)
    }

    /// The frames that are not acknowledged, with their numbers.
    pub(crate) fn unacked(&self) -> impl Iterator<Item = (u64, &Sent)> {
        (self.acked + 1..).zip(self.frames.iter())
    }

    /// How many frames are kept, and their bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.frames.len(), self.bytes)
    }

    /// Takes all frames out; the numbers go on behind them.
    pub(crate) fn drain(&mut self) -> Queue<Sent> {
        self.acked = self.last();
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// Whether more is kept than may be. A single frame always may.
    pub(crate) fn is_over(&self, frames_max: usize, bytes_max: usize) -> bool {
        self.frames.len() > 1 && (self.frames.len() > frames_max || self.bytes > bytes_max)
    }
}

/// Which numbered requests of a client were carried out.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The last one; 0: none.
    done: u64,
    /// Up to where the client knows.
    told: u64,
    /// Whether there will be a look at what it doesn't know yet.
    pub(crate) is_due: bool,
}

/// What a request's number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is the next one.
    Next,
    /// It was carried out before.
    Again,
    /// Others before it are missing.
    TooEarly,
}

impl Incoming {
    /// Takes note of a request; the next one counts as carried out from now on.
    pub(crate) fn take(&mut self, id: u64) -> Turn {
        if id == self.done + 1 {
            self.done = id;
            return Turn::Next;
        }
        if id > self.done {
            return Turn::TooEarly;
        }
        // It comes again since the client doesn't know.
        self.told = self.told.min(id.saturating_sub(1));
        Turn::Again
    }

    /// The last request that was carried out.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// The last request that was carried out; from now on the client knows.
    pub(crate) fn tell(&mut self) -> u64 {
        self.told = self.done;
        self.done
    }

    /// The same, if there is news.
    pub(crate) fn news(&mut self) -> Option<u64> {
        (self.untold() > 0).then(|| self.tell())
    }

    /// How many the client doesn't know of.
    pub(crate) fn untold(&self) -> u64 {
        self.done - self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ServerFrame;

    fn sent() -> Sent {
        Sent { frame: FrameText::encode(&ServerFrame::Pong { id: None }), origin: None }
    }

    #[test]
    fn frames_are_numbered_from_one_and_kept_until_acknowledged() {
        let mut outgoing = Outgoing::default();
        assert_eq!(
            [outgoing.push(sent()), outgoing.push(sent()), outgoing.push(sent())],
            [1, 2, 3]
        );
        assert!(outgoing.ack(2) && outgoing.ack(1), "an old one says nothing new");
        assert!(!outgoing.ack(4), "there is no such frame");
        assert_eq!(outgoing.unacked().map(|(seq, _)| seq).collect::<Vec<_>>(), [3]);
        let can = [0, 1, 2, 3, 4].map(|seq| outgoing.can_go_on_after(seq));
        assert_eq!(can, [false, false, true, true, false]);
        assert_eq!(outgoing.drain().len(), 1);
        assert_eq!((outgoing.push(sent()), outgoing.bytes), (4, sent().frame.len()));
    }

    #[test]
    fn frames_and_bytes_are_both_limited_and_a_single_frame_always_fits() {
        let bytes = sent().frame.len();
        let mut outgoing = Outgoing::default();
        outgoing.push(sent());
        assert!(!outgoing.is_over(0, 0));
        outgoing.push(sent());
        assert!(!outgoing.is_over(2, 2 * bytes));
        assert!(outgoing.is_over(1, 2 * bytes) && outgoing.is_over(2, 2 * bytes - 1));
    }

    #[test]
    fn each_request_is_taken_once_and_in_its_turn() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.take(2), Turn::TooEarly);
        assert_eq!([incoming.take(1), incoming.take(2)], [Turn::Next, Turn::Next]);
        assert_eq!((incoming.news(), incoming.news()), (Some(2), None));
        assert_eq!(incoming.take(2), Turn::Again);
        assert_eq!(incoming.news(), Some(2), "it asks again, so it doesn't know");
        assert_eq!(incoming.take(0), Turn::Again);
    }
}
