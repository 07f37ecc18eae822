//! The datagrams that one batch of work gives to send.

use super::sys;
use relay_core::{At, ListenerId, PortId, Transmit};
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// Collects what is to be sent, then sends it with one call for each socket.
#[derive(Debug, Default)]
pub(crate) struct Outbox<'a> {
    transmits: Vec<Transmit<'a>>,
    order: Vec<u64>,
    /// Whether runs of datagrams to one address leave in one piece.
    in_trains: bool,
}

impl<'a> Outbox<'a> {
    /// Room for `room` datagrams. More fit, at the cost of the heap. With `in_trains`, runs of
    /// datagrams to one address leave in one piece, until a network card can't.
    pub(crate) fn new(room: usize, in_trains: bool) -> Self {
        let (transmits, order) = (Vec::with_capacity(room), Vec::with_capacity(room));
        Self { transmits, order, in_trains }
    }

    pub(crate) fn push(&mut self, transmit: Transmit<'a>) {
        self.order.push(key(transmit.via) << 32 | self.transmits.len() as u64);
        self.transmits.push(transmit);
    }

    /// Sends all, those of one socket in the order pushed. `socket` gives the socket; without one
    /// the datagram is dropped.
    pub(crate) fn send<'s>(
        &mut self,
        socket: impl Fn(At) -> Option<BorrowedFd<'s>>,
        failures: &mut SendFailures,
    ) {
        self.order.sort_unstable();
        for group in self.order.chunk_by(|a, b| a >> 32 == b >> 32) {
            let via = self.transmits[place(group[0])].via;
            let Some(socket) = socket(via) else {
                failures.add_many(SendFailure::Closed, group.len());
                continue;
            };
            let transmit = |key: &u64| &self.transmits[place(*key)];
            let alike = |a: &u64, b: &u64| transmit(a).dont_fragment == transmit(b).dont_fragment;
            for group in group.chunk_by(alike) {
                let first = transmit(&group[0]);
                // For what few clients ever ask, two more system calls.
                let fence = first.dont_fragment.then(|| DontFragment::set(socket, first.to));
                if matches!(fence, Some(Err(_))) {
                    failures.add_many(SendFailure::Other, group.len());
                    continue;
                }
                let mut in_trains = self.in_trains;
                sys::send(socket, group.iter().map(transmit), in_trains, |places, errno| {
                    let is_fault_of_train = places.len() > 1 && sys::is_fault_of_train(errno);
                    if !is_fault_of_train {
                        failures.add_many(SendFailure::of(errno), places.len());
                        return;
                    }
                    in_trains &= !sys::is_fault_of_card(errno);
                    sys::send(socket, group[places].iter().map(transmit), false, |_, errno| {
                        failures.add(SendFailure::of(errno));
                    });
                });
                self.in_trains = in_trains;
            }
        }
    }

    /// The same room for the next batch, which borrows from elsewhere.
    pub(crate) fn cleared<'b>(mut self) -> Outbox<'b> {
        self.transmits.clear();
        self.order.clear();
        // Collecting an emptied Vec into one whose items have the same layout keeps its memory.
        let transmits = self.transmits.into_iter().map(|_| unreachable!("cleared")).collect();
        Outbox { transmits, order: self.order, in_trains: self.in_trains }
    }
}

/// While it lives, what the socket sends isn't fragmented.
struct DontFragment<'s> {
    socket: BorrowedFd<'s>,
    ipv6: bool,
}

impl<'s> DontFragment<'s> {
    fn set(socket: BorrowedFd<'s>, to: SocketAddr) -> io::Result<Self> {
        sys::set_dont_fragment(socket, to.is_ipv6(), true)?;
        Ok(Self { socket, ipv6: to.is_ipv6() })
    }
}

impl Drop for DontFragment<'_> {
    fn drop(&mut self) {
        // What was set before can be set back.
        let _ = sys::set_dont_fragment(self.socket, self.ipv6, false);
    }
}

fn key(via: At) -> u64 {
    match via {
        At::Listener(ListenerId(id)) => u64::from(id),
        At::Port(PortId(id)) => u64::from(id) + (1 << 16),
    }
}

fn place(key: u64) -> usize {
    key as u32 as usize
}

/// Why a datagram could not be sent. It is dropped, like one that the network loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFailure {
    /// No route, or a router said that there is none: ENETUNREACH, EHOSTUNREACH.
    Unreachable,
    /// Nobody listens there: ECONNREFUSED.
    Refused,
    /// The machine's packet filter or routing forbids it: EPERM, EACCES.
    NotPermitted,
    /// Longer than may be sent: EMSGSIZE.
    TooLong,
    /// The kernel has no memory for it: ENOBUFS, ENOMEM.
    NoBuffers,
    /// The socket's send buffer is full: EAGAIN.
    BufferFull,
    /// The kernel says that nothing can be sent there from this address: EINVAL, EADDRNOTAVAIL.
    BadAddress,
    /// The allocation ended earlier in the same batch.
    Closed,
    /// Any other error.
    Other,
}

impl SendFailure {
    pub(crate) const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::Refused,
        Self::NotPermitted,
        Self::TooLong,
        Self::NoBuffers,
        Self::BufferFull,
        Self::BadAddress,
        Self::Closed,
        Self::Other,
    ];

    fn of(errno: i32) -> Self {
        match errno {
            libc::ENETUNREACH | libc::EHOSTUNREACH => Self::Unreachable,
            libc::ECONNREFUSED => Self::Refused,
            libc::EPERM | libc::EACCES => Self::NotPermitted,
            libc::EMSGSIZE => Self::TooLong,
            libc::ENOBUFS | libc::ENOMEM => Self::NoBuffers,
            libc::EAGAIN => Self::BufferFull,
            libc::EINVAL | libc::EADDRNOTAVAIL => Self::BadAddress,
            _ => Self::Other,
        }
    }

    /// Its name as a metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::NotPermitted => "not_permitted",
            Self::TooLong => "too_long",
            Self::NoBuffers => "no_buffers",
            Self::BufferFull => "buffer_full",
            Self::BadAddress => "bad_address",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

/// How often each [`SendFailure`] happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendFailures {
    counts: [u64; SendFailure::ALL.len()],
}

impl SendFailures {
    pub(crate) fn add(&mut self, failure: SendFailure) {
        self.add_many(failure, 1);
    }

    fn add_many(&mut self, failure: SendFailure, count: usize) {
        self.counts[failure as usize] += count as u64;
    }

    pub(crate) fn count(&self, failure: SendFailure) -> u64 {
        self.counts[failure as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::IcmpError;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    const LISTENER: At = At::Listener(ListenerId(0));
    const PORT: At = At::Port(PortId(0));

    #[test]
    fn head_body_and_pad_leave_as_one_datagram() {
        let (near, far) = (socket(), socket());
        let mut outbox = Outbox::new(4, true);
        let to = far.local_addr().unwrap();
        outbox.push(Transmit { head: b"head", pad: 2, ..body(LISTENER, to, b"body") });
        outbox.push(body(LISTENER, to, b""));
        let mut failures = SendFailures::default();
        outbox.send(|_| Some(near.as_fd()), &mut failures);
        assert_eq!(receive(&far), b"headbody\0\0");
        assert_eq!(receive(&far), b"");
        assert_eq!(failures, SendFailures::default());
    }

    #[test]
    fn each_socket_sends_its_own_in_order_and_one_bad_datagram_stops_none() {
        let (listener, port, far) = (socket(), socket(), socket());
        let to = far.local_addr().unwrap();
        let long = vec![0; 65_508];
        let mut outbox = Outbox::new(1, true);
        for (via, bytes) in [(PORT, &b"1"[..]), (LISTENER, b"2"), (PORT, &long), (PORT, b"3")] {
            outbox.push(body(via, to, bytes));
        }
        let mut failures = SendFailures::default();
        let sockets = |at| Some(if at == PORT { port.as_fd() } else { listener.as_fd() });
        outbox.send(sockets, &mut failures);
        let mut got = [receive(&far), receive(&far), receive(&far)];
        got.sort();
        assert_eq!(got, [b"1", b"2", b"3"]);
        assert_eq!(failures.count(SendFailure::TooLong), 1);
    }

    #[test]
    fn only_what_asks_for_it_goes_out_unfragmented() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let near = UdpSocket::bind(host).unwrap();
            let far = UdpSocket::bind(host).unwrap();
            far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let to = far.local_addr().unwrap();
            sys::set_dont_fragment(near.as_fd(), to.is_ipv6(), false).unwrap();
            let mut outbox = Outbox::new(4, true);
            for (bytes, dont_fragment) in [(&b"1"[..], false), (b"2", true), (b"3", false)] {
                outbox.push(Transmit { dont_fragment, ..body(PORT, to, bytes) });
            }
            let mut failures = SendFailures::default();
            outbox.send(|_| Some(near.as_fd()), &mut failures);
            assert_eq!([receive(&far), receive(&far), receive(&far)], [b"1", b"2", b"3"]);
            assert_eq!(failures, SendFailures::default());
            assert!(!sys::dont_fragment(near.as_fd(), to.is_ipv6()).unwrap());
            drop(DontFragment::set(near.as_fd(), to).unwrap());
            let fence = DontFragment::set(near.as_fd(), to).unwrap();
            assert!(sys::dont_fragment(near.as_fd(), to.is_ipv6()).unwrap());
            drop(fence);
            assert!(!sys::dont_fragment(near.as_fd(), to.is_ipv6()).unwrap());
        }
    }

    #[test]
    fn a_refused_datagram_does_not_cost_the_next_one() {
        let (near, far) = (socket(), socket());
        sys::ask_for_icmp_errors(near.as_fd(), false).unwrap();
        let nobody = socket().local_addr().unwrap();
        let mut failures = SendFailures::default();
        let mut send = |to: SocketAddr| {
            let mut outbox = Outbox::new(1, true);
            outbox.push(body(PORT, to, b"x"));
            outbox.send(|_| Some(near.as_fd()), &mut failures);
        };
        send(nobody);
        send(far.local_addr().unwrap());
        assert_eq!(receive(&far), b"x");
        let mut errors = Vec::new();
        let taken = sys::take_icmp_errors(near.as_fd(), 8, |to, error| errors.push((to, error)));
        let unreachable = IcmpError { kind: 3, code: 3, mtu: 0 };
        assert_eq!((taken, errors), (1, vec![(nobody, unreachable)]));
    }

    #[test]
    fn a_datagram_of_a_closed_port_is_counted() {
        let mut outbox = Outbox::new(1, true);
        let to = "127.0.0.1:9".parse().unwrap();
        outbox.push(body(PORT, to, b"x"));
        let mut failures = SendFailures::default();
        outbox.send(|_| None, &mut failures);
        assert_eq!(failures.count(SendFailure::Closed), 1);
    }

    #[test]
    fn a_cleared_outbox_is_empty_and_keeps_its_memory() {
        let mut outbox = Outbox::new(8, true);
        let to = "127.0.0.1:9".parse().unwrap();
        outbox.push(body(PORT, to, b"x"));
        let memory = outbox.transmits.as_ptr() as usize;
        let cleared: Outbox<'static> = outbox.cleared();
        assert_eq!(cleared.transmits.len() + cleared.order.len(), 0);
        assert_eq!(cleared.transmits.as_ptr() as usize, memory);
    }

    #[test]
    fn every_failure_is_counted_in_its_own_place() {
        for (place, failure) in SendFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, place);
        }
    }

    /// A run of datagrams to one address, with others between: all come, each by itself, in order.
    #[test]
    fn a_train_arrives_as_its_datagrams() {
        let (near, far, other) = (socket(), socket(), socket());
        let [to, elsewhere] = [&far, &other].map(|far| far.local_addr().unwrap());
        let bytes: Vec<_> = (0..200).map(|number: u8| [number; 90]).collect();
        let mut outbox = Outbox::new(4, true);
        for (number, bytes) in bytes.iter().enumerate() {
            outbox.push(Transmit { head: &bytes[..4], ..body(LISTENER, to, &bytes[4..]) });
            if number % 150 == 149 {
                outbox.push(body(LISTENER, elsewhere, b"other"));
            }
        }
        outbox.push(body(LISTENER, to, b"last"));
        let mut failures = SendFailures::default();
        outbox.send(|_| Some(near.as_fd()), &mut failures);
        for bytes in &bytes {
            assert_eq!(receive(&far), bytes);
        }
        assert_eq!((receive(&far), receive(&other)), (b"last".to_vec(), b"other".to_vec()));
        assert_eq!(failures, SendFailures::default());
    }

    #[test]
    fn a_train_too_long_for_the_path_leaves_as_single_datagrams() {
        let near = UdpSocket::bind("[::1]:0").unwrap();
        let far = UdpSocket::bind("[::1]:0").unwrap();
        far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        sys::set_mtu(near.as_fd(), 1280).unwrap();
        let to = far.local_addr().unwrap();
        let (long, short) = ([7; 1400], [8; 100]);
        let mut outbox = Outbox::new(8, true);
        for bytes in [&long[..], &long, &short, &short, &short] {
            outbox.push(body(PORT, to, bytes));
        }
        let mut failures = SendFailures::default();
        outbox.send(|_| Some(near.as_fd()), &mut failures);
        for bytes in [&long[..], &long, &short, &short, &short] {
            assert_eq!(receive(&far), bytes);
        }
        assert_eq!(failures, SendFailures::default());
        assert!(outbox.in_trains, "other paths may take trains");
    }

    #[test]
    fn a_train_that_nobody_can_reach_is_counted_by_datagrams() {
        let near = socket();
        let mut outbox = Outbox::new(8, true);
        for _ in 0..3 {
            // Loopback's sockets can't send there.
            outbox.push(body(PORT, "192.0.2.1:9".parse().unwrap(), b"x"));
        }
        let mut failures = SendFailures::default();
        outbox.send(|_| Some(near.as_fd()), &mut failures);
        assert_eq!(SendFailure::ALL.map(|failure| failures.count(failure)).iter().sum::<u64>(), 3);
    }

    fn body(via: At, to: SocketAddr, body: &[u8]) -> Transmit<'_> {
        Transmit { via, to, head: b"", body, pad: 0, dont_fragment: false }
    }

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        let mut bytes = [0; 2000];
        let (len, _) = socket.recv_from(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }
}
