//! The system calls that std doesn't have. The one file of this package with `unsafe`.

#![expect(unsafe_code, reason = "calls into libc; everything it gives out is safe to use")]

use libc::{c_int, epoll_event};
use std::fmt;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Gives the calling thread one CPU.
///
/// # Errors
/// What the system says, such as that there is no such CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeros is the empty set, and CPU_SET checks the bounds.
    let only = unsafe {
        let mut only: libc::cpu_set_t = zeroed();
        libc::CPU_SET(cpu, &mut only);
        only
    };
    // SAFETY: the set outlives the call and is as long as said. 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &only) })?;
    Ok(())
}

/// Puts the calling thread before all others of its CPU, but those that were put there too. What
/// it starts inherits that.
///
/// # Errors
/// What the system says, such as that this takes root.
pub fn go_first() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: the struct outlives the call. 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &lowest) })?;
    Ok(())
}

/// Has a child get one CPU, and end when this process ends however it does.
pub fn confine(command: &mut Command, cpu: usize) {
    let before = move || {
        pin(cpu)?;
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls and nothing else: no heap, no locks.
    unsafe { command.pre_exec(before) };
}

/// Raises this process's limit of open files as far as it may go by itself, and says how far. What
/// it starts inherits that.
///
/// # Errors
/// What the system says.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct outlives the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the struct outlives the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// A set of sockets of which some are ready.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll_event>,
}

/// What to wait for at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// For input, or for its end.
    pub reads: bool,
    /// For room to send.
    pub writes: bool,
}

/// A socket that is ready. A broken one is ready for both.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What it was added with.
    pub token: u64,
    /// Whether there is input.
    pub reads: bool,
    /// Whether there is room to send.
    pub writes: bool,
}

/// The most sockets told of in one turn.
const TURN_SOCKETS: usize = 256;

impl Interest {
    /// Input only.
    pub const READS: Self = Self { reads: true, writes: false };
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is new and nobody else's.
        let epoll =
            unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll, events: vec![epoll_event { events: 0, u64: 0 }; TURN_SOCKETS] })
    }

    /// Watches a socket, level-triggered, until it is closed. `token` names it when it is ready.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, interest)
    }

    /// Waits for something else at a socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn change(&self, socket: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
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
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&mut self, timeout_ms: c_int) -> io::Result<usize> {
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

    /// The socket at a place below what [`wait`](Self::wait) said.
    ///
    /// # Panics
    /// If there is no such place.
    #[must_use]
    pub fn ready(&self, place: usize) -> Ready {
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

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

/// Has a socket that is bound to an address get its port only when it connects: any that isn't in
/// use between just these two addresses, not one that is free altogether, which takes long to find
/// once thousands of connections have ended a moment ago.
///
/// # Errors
/// What the system says.
pub fn choose_port_late(socket: BorrowedFd<'_>) -> io::Result<()> {
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
