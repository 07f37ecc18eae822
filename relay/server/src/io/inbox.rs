//! The datagrams of one batch, from any number of sockets.

use super::sys;
use relay_core::{At, Received};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// Room for one batch of received datagrams. Made once, filled and cleared without the heap.
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    origins: Vec<Origin>,
    room: usize,
}

/// Where what is in one buffer came from: a datagram, or a train of them.
struct Origin {
    at: At,
    from: SocketAddr,
    len: usize,
    /// How long the datagrams of a train are; the last may be shorter.
    segment: Option<usize>,
}

impl Origin {
    fn datagrams<'b>(&self, buffer: &'b [u8]) -> impl Iterator<Item = Received<'b>> + use<'b> {
        let (at, from, len) = (self.at, self.from, self.len);
        let segment = self.segment.unwrap_or(len).max(1);
        let begins = (0..len.max(1)).step_by(segment);
        begins.map(move |begin| Received {
            at,
            from,
            bytes: &buffer[begin..len.min(begin + segment)],
        })
    }
}

/// As long as any UDP payload, and any train: nothing is cut off. Only pages that were written to
/// cost memory.
const DATAGRAM_BYTES: usize = 65_536;

/// Apart by an odd number of cache lines, so that the first bytes of all datagrams don't compete
/// for the same ones.
const STRIDE_BYTES: usize = DATAGRAM_BYTES + 192;

impl Inbox {
    /// Room for `room` datagrams or trains.
    pub(crate) fn new(room: usize) -> Self {
        Self { bytes: vec![0; room * STRIDE_BYTES], origins: Vec::with_capacity(room), room }
    }

    /// For how many more datagrams or trains there is room.
    pub(crate) fn room(&self) -> usize {
        self.room - self.origins.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Adds up to `most` datagrams or trains that wait at the socket, and says how many.
    ///
    /// # Errors
    /// See [`sys::receive`].
    pub(crate) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        at: At,
        most: usize,
    ) -> io::Result<usize> {
        let most = most.min(self.room());
        let begin = self.origins.len() * STRIDE_BYTES;
        let buffers = self.bytes[begin..].chunks_exact_mut(STRIDE_BYTES).take(most);
        let buffers = buffers.map(|buffer| &mut buffer[..DATAGRAM_BYTES]);
        sys::receive(socket, buffers, |from, len, segment| {
            self.origins.push(Origin { at, from, len, segment });
        })
    }

    /// The batch, in the order received.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Received<'_>> {
        let buffers = self.bytes.chunks_exact(STRIDE_BYTES);
        buffers.zip(&self.origins).flat_map(|(buffer, origin)| origin.datagrams(buffer))
    }

    pub(crate) fn clear(&mut self) {
        self.origins.clear();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("datagrams", &self.origins.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::{ListenerId, PortId, Transmit};
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn datagrams_of_any_length_come_whole_and_in_order() {
        let (near, far) = pair();
        let long = vec![7; 65_507];
        for sent in [&b"one"[..], b"", &long] {
            far.send_to(sent, near.local_addr().unwrap()).unwrap();
        }
        let mut inbox = Inbox::new(8);
        let at = At::Listener(ListenerId(3));
        inbox.receive(near.as_fd(), at, 2).unwrap();
        assert_eq!(inbox.room(), 6);
        inbox.receive(near.as_fd(), at, 2).unwrap();
        let got: Vec<_> = inbox.datagrams().map(|received| received.bytes).collect();
        assert_eq!(got, [&b"one"[..], b"", &long]);
        for received in inbox.datagrams() {
            assert_eq!((received.at, received.from), (at, far.local_addr().unwrap()));
        }
    }

    #[test]
    fn a_train_comes_in_one_piece_and_is_cut_into_its_datagrams() {
        let (near, far) = pair();
        sys::ask_for_trains(near.as_fd()).unwrap();
        let to = near.local_addr().unwrap();
        let bodies = [&b"one"[..], b"two", b"thr", b"4"];
        let transmits = bodies.map(|body| Transmit {
            via: At::Port(PortId(0)),
            to,
            head: b"-",
            body,
            pad: 0,
            dont_fragment: false,
        });
        sys::send(far.as_fd(), transmits.iter(), true, |_, error| panic!("error {error}"));
        let mut inbox = Inbox::new(8);
        let at = At::Listener(ListenerId(0));
        inbox.receive(near.as_fd(), at, 8).unwrap();
        assert_eq!(inbox.room(), 7, "one buffer holds all");
        let got: Vec<_> = inbox.datagrams().map(|received| received.bytes).collect();
        assert_eq!(got, [&b"-one"[..], b"-two", b"-thr", b"-4"]);
        for received in inbox.datagrams() {
            assert_eq!((received.at, received.from), (at, far.local_addr().unwrap()));
        }
    }

    #[test]
    fn an_idle_socket_would_block() {
        let (near, _far) = pair();
        let mut inbox = Inbox::new(8);
        let nothing = inbox.receive(near.as_fd(), At::Listener(ListenerId(0)), 8);
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(inbox.is_empty());
    }

    fn pair() -> (UdpSocket, UdpSocket) {
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap())
    }
}
