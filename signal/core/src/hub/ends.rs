//! How connections and sessions end, and who is told.

use super::{Departure, Happening, Hub, shrink};
use crate::protocol::{CloseCode, ErrorCode, LeaveReason, ServerFrame};
use crate::seat::{Presence, Seat};
use crate::session::{Origin, Sent};
use crate::timers::Due;
use crate::{Detached, EdgeId, Event, Once, Queue, RoomId};
use heliograph_base::Time;
use std::time::Duration;

impl Hub {
    /// Ends the session of the edge, if it has one, and tells the others why. The edge itself is
    /// told nothing.
    pub(super) fn handle_leave(&mut self, now: Time, edge: EdgeId, reason: LeaveReason) {
        if let Some(place) = self.edges.remove(&edge) {
            self.end(now, place, reason);
        }
    }

    /// Ends the session that a client was given by a join before, if the answer never came.
    pub(super) fn take_back(&mut self, now: Time, room: &RoomId, once: Option<&Once>) {
        let Some(once) = once else { return };
        let members = self.rooms.get(room).into_iter().flat_map(|room| &room.members).copied();
        let mut those = members.filter(|place| self.seats[*place].once.as_ref() == Some(once));
        if let Some(place) = those.next() {
            self.end(now, place, LeaveReason::Lost);
        }
    }

    /// Takes note that a connection is gone: the session waits for another one.
    pub(super) fn handle_detach(&mut self, now: Time, edge: EdgeId, how: Detached) {
        let Some(place) = self.edges.remove(&edge) else { return };
        shrink(&mut self.edges);
        let seat = &mut self.seats[place];
        seat.senders.retain(|sender| *sender != edge);
        let listens = seat.edge() == Some(edge);
        if !listens || how == Detached::Between {
            self.say_goodbye(edge, place);
        }
        if listens {
            self.lose(now, place, how);
        }
    }

    /// Tells an edge that was for one request only that nothing more comes by it; if it was for
    /// sending, also what was carried out. That may overtake what the other edge is told, refusals
    /// too, and may get lost: so the other one is told the same, behind them.
    fn say_goodbye(&mut self, edge: EdgeId, place: usize) {
        self.tell_ack(place);
        let ack = self.seats[place].incoming.done();
        self.output(edge, Event::Done { ack });
    }

    /// From now on the session has no connection.
    fn lose(&mut self, now: Time, place: usize, how: Detached) {
        let seat = &mut self.seats[place];
        self.last_absence += 1;
        let absence = self.last_absence;
        let (reason, delay) = match how {
            Detached::Lost => (LeaveReason::Lost, self.config.away_delay),
            Detached::Vanished => (LeaveReason::Vanished, Duration::ZERO),
            Detached::Between => (LeaveReason::Vanished, self.config.heartbeat_timeout),
        };
        seat.presence = Presence::Gone { absence, reason, is_told: false };
        seat.heard = now;
        let number = seat.number;
        self.timers.set(now + self.config.grace, place, number, Due::Gone { absence });
        if delay.is_zero() {
            self.announce_away(now, place, absence);
        } else {
            self.timers.set(now + delay, place, number, Due::Away { absence });
        }
    }

    /// Takes note that too much waits in front of the edge: its session ends.
    pub fn handle_full_edge(&mut self, now: Time, edge: EdgeId) {
        let Some(place) = self.edges.get(&edge).copied() else { return };
        self.end_slow(now, place);
        self.end_overflowing(now);
        self.forget_timers();
    }

    pub(super) fn announce_away(&mut self, now: Time, place: usize, which: u64) {
        match &mut self.seats[place].presence {
            Presence::Gone { absence, is_told, .. } if *absence == which && !*is_told => {
                *is_told = true;
                self.announce_state(now, place, |peer| ServerFrame::Away { peer });
                self.wait_for_host(now, place, which);
            }
            Presence::Here(_) | Presence::Gone { .. } => {}
        }
    }

    pub(super) fn end_absent(&mut self, now: Time, place: usize, which: u64) {
        match self.seats[place].presence {
            Presence::Gone { absence, reason, .. } if absence == which => {
                self.end(now, place, reason);
            }
            Presence::Here(_) | Presence::Gone { .. } => {}
        }
    }

    /// Gives up an edge by which nothing comes, if nothing came otherwise either.
    pub(super) fn look_for_life(&mut self, now: Time, place: usize, edge: EdgeId) {
        let seat = &self.seats[place];
        if seat.edge() != Some(edge) {
            return;
        }
        let due = seat.heard + self.config.heartbeat_timeout;
        if now < due {
            return self.timers.set(due, place, seat.number, Due::Silence { edge });
        }
        self.edges.remove(&edge);
        self.output(edge, Event::Close(CloseCode::Vanished));
        self.lose(now, place, Detached::Vanished);
    }

    pub(super) fn end_overflowing(&mut self, now: Time) {
        while let Some((place, seat)) = self.overflowing.pop() {
            if self.seats.get(place).is_some_and(|there| there.number == seat) {
                self.end_slow(now, place);
            }
        }
    }

    fn end_slow(&mut self, now: Time, place: usize) {
        self.counts.slow += 1;
        self.end(now, place, LeaveReason::Slow);
    }

    /// Ends a session: its seat is free, its edges are closed, the others are told, and so are the
    /// senders of what never came.
    pub(super) fn end(&mut self, now: Time, place: usize, reason: LeaveReason) {
        let name = self.seats[place].room.clone();
        let room = self.rooms.get_mut(&name).expect("a seat is in a room");
        room.members.retain(|member| *member != place);
        let members = room.members.len();
        let is_closed = members == 0 && self.leave_idle(now, &name);
        self.vacate(now, place, reason, members);
        if is_closed {
            self.happenings.push_back(Happening::RoomClosed(name));
        } else {
            self.look_for_host(now, &name, 0);
        }
    }

    /// The same for a seat that another one takes the place of: the room stays what it is, even if
    /// nobody else is in it, and who is the host is looked at when that one is there.
    pub(super) fn make_way(&mut self, now: Time, place: usize) {
        let room = self.rooms.get_mut(&self.seats[place].room).expect("a seat is in a room");
        room.members.retain(|member| *member != place);
        let members = room.members.len();
        self.vacate(now, place, LeaveReason::Replaced, members);
    }

    /// The same for a seat that its room no longer lists, where so many others are left.
    pub(super) fn vacate(&mut self, now: Time, place: usize, reason: LeaveReason, members: usize) {
        self.forget_pairs(place);
        let seat = self.seats.remove(place);
        self.forget_peer(&seat);
        for edge in seat.edge().into_iter().chain(seat.senders.iter().copied()) {
            // The one that asked for it is no longer known.
            if self.edges.remove(&edge).is_some() {
                self.output(edge, Event::Close(close_code(reason)));
            }
        }
        let Seat { room, peer, number, mut outgoing, .. } = seat;
        let left = ServerFrame::Left { peer: peer.as_str().into(), reason };
        self.announce(now, &room, number, &left);
        self.tell_undelivered(outgoing.drain());
        let departure = Departure { room, peer, seat: number, reason, members };
        self.happenings.push_back(Happening::Left(departure));
        shrink(&mut self.rooms);
        shrink(&mut self.peers);
        shrink(&mut self.named);
        shrink(&mut self.edges);
        if self.seats.is_empty() {
            self.seats.shrink_to_fit();
        }
    }

    /// Tells the senders of frames that never came.
    pub(super) fn tell_undelivered(&mut self, mut frames: Queue<Sent>) {
        let frames = std::iter::from_fn(|| frames.pop());
        for Origin { seat, place, id } in frames.filter_map(|sent| sent.origin) {
            if self.seats.get(place).is_some_and(|there| there.number == seat) {
                self.counts.undelivered += 1;
                let code = ErrorCode::Undelivered;
                self.send_error(place, id, (code, code.advice()));
            }
        }
    }
}

/// With what the connections of a session that ends are closed.
fn close_code(reason: LeaveReason) -> CloseCode {
    match reason {
        LeaveReason::Slow => CloseCode::SlowReader,
        LeaveReason::Expired => CloseCode::Expired,
        LeaveReason::Replaced => CloseCode::Superseded,
        LeaveReason::Lost | LeaveReason::Vanished => CloseCode::Vanished,
        LeaveReason::Kicked => CloseCode::Kicked,
        LeaveReason::Closed => CloseCode::RoomClosed,
        LeaveReason::Left | LeaveReason::Misbehaved | LeaveReason::Unknown => CloseCode::Normal,
    }
}
