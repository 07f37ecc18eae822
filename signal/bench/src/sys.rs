//! The system calls that neither std nor socket2 have. The one file of this package with `unsafe`.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use libc::{c_int, epoll_event};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A set of sockets of which some are ready.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll_event>,
}

/// What to wait for at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// A socket that is ready. A broken one is ready for both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// The most sockets told of in one turn.
const TURN_SOCKETS: usize = 256;

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and nobody else's.
        let epoll =
            unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll, events: vec![epoll_event { events: 0, u64: 0 }; TURN_SOCKETS] })
    }

    /// Watches a socket, level-triggered, until it is closed.
    pub(crate) fn add(
        &self,
        socket: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, interest)
    }

    pub(crate) fn change(
        &self,
        socket: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, interest)
    }

    fn control(
        &self,
        what: c_int,
        socket: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let bit = |flag: c_int, on: bool| if on { flag as u32 } else { 0 };
        let events = bit(libc::EPOLLIN, interest.reads) | bit(libc::EPOLLOUT, interest.writes);
        let mut event = epoll_event { events, u64: token };
        let (epoll, socket) = (self.epoll.as_raw_fd(), socket.as_raw_fd());
        // SAFETY: the event outlives the call.
        check(unsafe { libc::epoll_ctl(epoll, what, socket, &mut event) })?;
        Ok(())
    }

    /// Waits, -1 for ever, and says how many sockets are ready.
    pub(crate) fn wait(&mut self, timeout_ms: c_int) -> io::Result<usize> {
        let most = self.events.len() as c_int;
        // SAFETY: the kernel writes at most `most` events to a Vec of that length.
        let count = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), most, timeout_ms)
        };
        match check(count) {
            Ok(count) => Ok(count as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The socket at a place below what [`Self::wait`] said.
    pub(crate) fn ready(&self, place: usize) -> Ready {
        let epoll_event { events, u64: token } = self.events[place];
        let has = |flag: c_int| events & flag as u32 != 0;
        let is_broken = has(libc::EPOLLERR | libc::EPOLLHUP);
        Ready {
            token,
            reads: is_broken || has(libc::EPOLLIN),
            writes: is_broken || has(libc::EPOLLOUT),
        }
    }
}

/// Has a socket that is bound to an address get its port only when it connects: any that isn't in
/// use between just these two addresses, not one that is free altogether, which takes long to find
/// once thousands of connections have ended a moment ago.
pub(crate) fn choose_port_late(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (on, bytes): (c_int, _) = (1, size_of::<c_int>() as libc::socklen_t);
    let name = libc::IP_BIND_ADDRESS_NO_PORT;
    // SAFETY: the pointer is to a c_int that outlives the call, and the length is its length.
    check(unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, name, value, bytes)
    })?;
    Ok(())
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
