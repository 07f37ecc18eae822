//! Which transport carries the session: a WebSocket where that works, else what every proxy lets
//! through.

use heliograph_base::Time;
use std::time::Duration;

/// What carries a session's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Server-sent events, and requests for what the client says.
    Events,
    /// Requests only, of which one waits for what the server says.
    Poll,
}

/// How often the first transport may fail without ever having worked, until the next one is tried.
/// The others may only once.
const FAILURES_MAX: u32 = 2;

/// For how long the first transport isn't tried again while another one works.
const FIRST_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The transports, the best one first, and which of them is in use.
#[derive(Debug)]
pub(super) struct Ladder {
    rungs: Vec<Rung>,
    current: usize,
    /// The rung that works, while the first one is tried again.
    resort: Option<usize>,
    /// When the first one was in use last.
    first_left: Time,
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    transport: Transport,
    /// Whether the session was ever online by it.
    has_worked: bool,
    /// How often it has failed since.
    failures: u32,
}

impl Ladder {
    pub(super) fn new(transports: &[Transport]) -> Self {
        assert!(!transports.is_empty(), "a session needs a transport");
        let rung =
            |transport: &Transport| Rung { transport: *transport, has_worked: false, failures: 0 };
        let rungs = transports.iter().map(rung).collect();
        Self { rungs, current: 0, resort: None, first_left: Time::START }
    }

    /// The one in use.
    pub(super) fn current(&self) -> Transport {
        self.rungs[self.current].transport
    }

    /// Whether one of them was never tried.
    pub(super) fn has_untried(&self) -> bool {
        self.rungs.iter().any(|rung| rung.failures == 0 && !rung.has_worked)
    }

    /// The one for the next connection.
    pub(super) fn next(&mut self, now: Time) -> Transport {
        let may_climb = self.current > 0 && self.rungs[self.current].has_worked;
        if may_climb && now.since(self.first_left) >= FIRST_AGAIN_AFTER {
            self.resort = Some(self.current);
            self.current = 0;
        }
        self.current()
    }

    /// The session is online by the one in use.
    pub(super) fn handle_online(&mut self) {
        let rung = &mut self.rungs[self.current];
        (rung.has_worked, rung.failures) = (true, 0);
        self.resort = None;
    }

    /// The connection is lost, or couldn't be opened.
    pub(super) fn handle_lost(&mut self, now: Time) {
        if self.current == 0 {
            self.first_left = now;
        }
        if let Some(resort) = self.resort.take() {
            self.current = resort;
            return;
        }
        let rung = &mut self.rungs[self.current];
        rung.failures += 1;
        let failures_max = if self.current == 0 { FAILURES_MAX } else { 1 };
        if !rung.has_worked && rung.failures >= failures_max {
            self.current = (self.current + 1) % self.rungs.len();
        }
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Self::new(&[Transport::WebSocket, Transport::Events, Transport::Poll])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Transport::{Events, Poll, WebSocket};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_never_worked_is_given_up_for_the_next_and_all_are_tried_in_turn() {
        let (mut ladder, mut now) = (Ladder::default(), Time::START);
        let mut tried = Vec::new();
        for _ in 0..7 {
            now += SECOND;
            tried.push(ladder.next(now));
            ladder.handle_lost(now);
        }
        assert_eq!(tried, [WebSocket, WebSocket, Events, Poll, WebSocket, Events, Poll]);
    }

    #[test]
    fn what_has_worked_is_kept() {
        let mut ladder = Ladder::default();
        assert_eq!(ladder.next(Time::START), WebSocket);
        ladder.handle_online();
        for _ in 0..9 {
            ladder.handle_lost(Time::START);
            assert_eq!(ladder.next(Time::START), WebSocket);
        }
        assert!(ladder.has_untried());
    }

    #[test]
    fn the_first_one_is_tried_again_later_but_only_once_in_a_while() {
        let (mut ladder, mut now) = (Ladder::default(), Time::START);
        for _ in 0..2 {
            ladder.next(now);
            ladder.handle_lost(now);
        }
        assert_eq!(ladder.next(now), Events);
        ladder.handle_online();
        now += SECOND;
        ladder.handle_lost(now);
        assert_eq!(ladder.next(now), Events);
        ladder.handle_online();
        now += FIRST_AGAIN_AFTER;
        ladder.handle_lost(now);
        assert_eq!(ladder.next(now), WebSocket);
        ladder.handle_lost(now);
        assert_eq!(ladder.next(now), Events);
    }
}
