//! Which sockets have something to read.

use super::sys;
use libc::epoll_event;
use relay_core::{At, ListenerId, PortId};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Level-triggered readiness: what isn't read in one turn is ready again in the next.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll_event>,
}

/// What is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// Somebody rang the bell.
    Bell,
    /// A socket has datagrams, or (`error`) an ICMP error to be taken off.
    Socket { at: At, error: bool },
}

impl Poller {
    /// A poller that reports at most `turn_sockets` ready sockets a turn; the others have their
    /// turn next.
    pub(crate) fn new(turn_sockets: usize) -> io::Result<Self> {
        let events = vec![epoll_event { events: 0, u64: 0 }; turn_sockets.max(1)];
        Ok(Self { epoll: sys::epoll_create()?, events })
    }

    pub(crate) fn watch_bell(&self, bell: BorrowedFd<'_>) -> io::Result<()> {
        sys::epoll_add(self.epoll.as_fd(), bell, BELL)
    }

    pub(crate) fn watch(&self, socket: BorrowedFd<'_>, at: At) -> io::Result<()> {
        sys::epoll_add(self.epoll.as_fd(), socket, token(at))
    }

    /// Waits until something is ready or `timeout` is over, and says how many places
    /// [`Self::ready`] has.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        // Rounded up: to wake a little too early would mean to spin until it is time.
        let timeout_ms = timeout.map_or(-1, |timeout| {
            timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX)
        });
        sys::epoll_wait(self.epoll.as_fd(), &mut self.events, timeout_ms)
    }

    pub(crate) fn ready(&self, place: usize) -> Ready {
        let event = self.events[place];
        if event.u64 == BELL {
            return Ready::Bell;
        }
        let error = event.events & libc::EPOLLERR as u32 != 0;
        Ready::Socket { at: at(event.u64), error }
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).finish_non_exhaustive()
    }
}

const BELL: u64 = u64::MAX;
const LISTENER: u64 = 1 << 32;

fn token(at: At) -> u64 {
    match at {
        At::Listener(ListenerId(id)) => LISTENER | u64::from(id),
        At::Port(PortId(id)) => u64::from(id),
    }
}

fn at(token: u64) -> At {
    if token & LISTENER == 0 {
        At::Port(PortId(token as u32))
    } else {
        At::Listener(ListenerId(token as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_which_socket_it_is() {
        for socket in [
            At::Listener(ListenerId(0)),
            At::Listener(ListenerId(u16::MAX)),
            At::Port(PortId(0)),
            At::Port(PortId(u32::MAX)),
        ] {
            assert_eq!(at(token(socket)), socket);
            assert_ne!(token(socket), BELL);
        }
    }
}
