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
}

impl<'a> Outbox<'a> {
    /// Room for `room` datagrams. More fit, at the cost of the heap.
    pub(crate) fn new(room: usize) -> Self {
        Self { transmits: Vec::with_capacity(room), order: Vec::with_capacity(room) }
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
                for group in group.chunks(sys::CALL_DATAGRAMS) {
                    sys::send(socket, group.iter().map(transmit), |errno| {
                        failures.add(SendFailure::of(errno));
                    });
                }
            }
        }
    }

    /// The same room for the next batch, which borrows from elsewhere.
    pub(crate) fn cleared<'b>(mut self) -> Outbox<'b> {
        self.transmits.clear();
        self.order.clear();
        // Collecting an emptied Vec into one whose items have the same layout keeps its memory.
        let transmits = self.transmits.into_iter().map(|_| unreachable!("cleared")).collect();
        Outbox { transmits, order: self.order }
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
        let mut outbox = Outbox::new(4);
        let to = far.local_addr().unwrap();
        outbox.push(Transmit {
            via: LISTENER,
            to,
            head: b"head",
            body: b"body",
            pad: 2,
            dont_fragment: false,
        });
        outbox.push(Transmit {
            via: LISTENER,
            to,
            head: b"",
            body: b"",
            pad: 0,
            dont_fragment: false,
        });
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
        let mut outbox = Outbox::new(1);
        for (via, body) in [(PORT, &b"1"[..]), (LISTENER, b"2"), (PORT, &long), (PORT, b"3")] {
            outbox.push(Transmit { via, to, head: b"", body, pad: 0, dont_fragment: false });
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
            let mut outbox = Outbox::new(4);
            for (body, dont_fragment) in [(&b"1"[..], false), (b"2", true), (b"3", false)] {
                outbox.push(Transmit { via: PORT, to, head: b"", body, pad: 0, dont_fragment });
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
            let mut outbox = Outbox::new(1);
            outbox.push(Transmit {
                via: PORT,
                to,
                head: b"",
                body: b"x",
                pad: 0,
                dont_fragment: false,
            });
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
        let mut outbox = Outbox::new(1);
        let to = "127.0.0.1:9".parse().unwrap();
        outbox.push(Transmit {
            via: PORT,
            to,
            head: b"",
            body: b"x",
            pad: 0,
            dont_fragment: false,
        });
        let mut failures = SendFailures::default();
        outbox.send(|_| None, &mut failures);
        assert_eq!(failures.count(SendFailure::Closed), 1);
    }

    #[test]
    fn a_cleared_outbox_is_empty_and_keeps_its_memory() {
        let mut outbox = Outbox::new(8);
        let to = "127.0.0.1:9".parse().unwrap();
        outbox.push(Transmit {
            via: PORT,
            to,
            head: b"",
            body: b"x",
            pad: 0,
            dont_fragment: false,
        });
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

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    fn receive(socket: &UdpSocket) -> Vec<u8> {
        let mut bytes = [0; 100];
        let (len, _) = socket.recv_from(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }
}
