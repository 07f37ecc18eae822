//! Which datagrams may leave as one: trains, that the kernel or the network card cuts into
//! datagrams again (UDP_SEGMENT).

use relay_core::Transmit;
use std::net::SocketAddr;

/// The most datagrams of a train: what every kernel takes.
pub(crate) const TRAIN_SEGMENTS: usize = 64;

/// The most bytes of a train: what one IP packet carries, with room for its headers.
const TRAIN_BYTES: usize = 65_000;

/// The longest datagram that may be part of a train. A train of longer ones wouldn't fit the usual
/// MTU of 1,500 bytes, and is refused by the kernel instead of fragmented.
const SEGMENT_BYTES: usize = 1452;

/// A run of datagrams to one address, of one length; only the last one may be shorter.
#[derive(Debug)]
pub(crate) struct Train {
    to: SocketAddr,
    segment_bytes: usize,
    bytes: usize,
    segments: usize,
    is_complete: bool,
}

impl Train {
    /// A train of one datagram.
    pub(crate) fn of(first: &Transmit<'_>) -> Self {
        let bytes = length(first);
        let is_complete = bytes == 0 || bytes > SEGMENT_BYTES;
        Self { to: first.to, segment_bytes: bytes, bytes, segments: 1, is_complete }
    }

    /// Takes the next datagram, if it can be part of this train.
    pub(crate) fn take(&mut self, next: &Transmit<'_>) -> bool {
        let bytes = length(next);
        let fits = !self.is_complete
            && self.segments < TRAIN_SEGMENTS
            && (1..=self.segment_bytes).contains(&bytes)
            && self.bytes + bytes <= TRAIN_BYTES
            && self.to == next.to;
        if fits {
            self.segments += 1;
            self.bytes += bytes;
            self.is_complete = bytes < self.segment_bytes;
        }
        fits
    }

    pub(crate) fn segments(&self) -> usize {
        self.segments
    }

    /// How long all are but the last.
    pub(crate) fn segment_bytes(&self) -> u16 {
        self.segment_bytes as u16
    }
}

fn length(transmit: &Transmit<'_>) -> usize {
    transmit.head.len() + transmit.body.len() + transmit.pad
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::{At, PortId};

    fn transmit(to: &str, head: usize, body: usize, pad: usize) -> Transmit<'static> {
        static BYTES: [u8; 2000] = [0; 2000];
        let via = At::Port(PortId(0));
        let (head, body) = (&BYTES[..head], &BYTES[..body]);
        Transmit { via, to: to.parse().unwrap(), head, body, pad, dont_fragment: false }
    }

    #[test]
    fn a_train_is_of_one_length_but_for_its_last_datagram() {
        let one = |length| transmit("192.0.2.1:1", 4, length, 0);
        let mut train = Train::of(&one(100));
        assert!(train.take(&one(100)));
        assert!(!train.take(&one(101)), "a longer one begins another train");
        assert!(train.take(&transmit("192.0.2.1:1", 0, 101, 3)), "whatever it is made of");
        assert!(train.take(&one(50)));
        assert!(!train.take(&one(50)), "a shorter one is the last");
        assert_eq!((train.segments(), train.segment_bytes()), (4, 104));
    }

    #[test]
    fn a_train_has_one_destination() {
        let mut train = Train::of(&transmit("192.0.2.1:1", 0, 100, 0));
        assert!(!train.take(&transmit("192.0.2.1:2", 0, 100, 0)));
        assert!(!train.take(&transmit("192.0.2.2:1", 0, 100, 0)));
    }

    #[test]
    fn empty_and_long_datagrams_go_alone() {
        for length in [0, SEGMENT_BYTES + 1] {
            let alone = transmit("192.0.2.1:1", 0, length, 0);
            assert!(!Train::of(&alone).take(&alone));
        }
        let full = transmit("192.0.2.1:1", 0, SEGMENT_BYTES, 0);
        let mut train = Train::of(&full);
        assert!(train.take(&full));
        assert!(!train.take(&transmit("192.0.2.1:1", 0, 0, 0)));
    }

    #[test]
    fn a_train_is_no_longer_than_the_kernel_takes() {
        for (length, most) in [(100, TRAIN_SEGMENTS), (1400, TRAIN_BYTES / 1400)] {
            let one = transmit("192.0.2.1:1", 4, length - 4, 0);
            let mut train = Train::of(&one);
            while train.take(&one) {}
            assert_eq!(train.segments(), most);
        }
    }
}
