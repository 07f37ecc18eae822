//! Who is the host of a room.
//!
//! The member that is there and has been for longest, but before all others one whose token gives
//! it the role `host`. It stays the host until it hands over, leaves, or is away for too long; or
//! until somebody with that role comes, if it doesn't have it. Each host has a term of its own, and
//! what only a host may do carries it: so who was the host before can't do it any more, even if it
//! doesn't know yet.

use super::Hub;
use crate::protocol::{ErrorCode, ServerFrame};
use crate::seat::Seat;
use crate::timers::Due;
use crate::{PeerId, RoomId};
use heliograph_base::Time;

/// The role of a token that makes its holder the host.
const HOST: &str = "host";

impl Hub {
    /// Sees to it that the room has the host that it should have. The seat `but` isn't told: it
    /// learns it by its welcome.
    pub(super) fn look_for_host(&mut self, now: Time, room: &RoomId, but: u64) {
        let Some(there) = self.rooms.get(room) else { return };
        let Some(host) = there.host() else { return };
        let seat = |place: &usize| &self.seats[*place];
        let current = there.members.iter().map(seat).find(|seat| seat.number == host.seat);
        let best = there.members.iter().map(seat).filter(|seat| !seat.is_away());
        // The first of those that are the best.
        let best = best.min_by_key(|seat| !seat.is_born_host());
        let next = match (current, best) {
            (Some(current), Some(best)) => {
                let is_better = best.is_born_host() && !current.is_born_host();
                (host.is_overdue || is_better).then_some(best)
            }
            (Some(_), None) => None,
            (None, best) => best,
        };
        if let Some(next) = next {
            let number = next.number;
            self.make_host(now, room, (number, but));
        } else if current.is_none() && host.seat != 0 {
            self.make_host(now, room, (0, but));
        }
    }

    /// Tells everybody of a new host; 0: of none.
    fn make_host(&mut self, now: Time, room: &RoomId, (seat, but): (u64, u64)) {
        let Some(there) = self.rooms.get_mut(room) else { return };
        let peer = there.members.iter().map(|place| &self.seats[*place]);
        let peer = peer.filter(|it| it.number == seat).map(|it| it.peer.clone()).next();
        let host = there.extras.as_mut().and_then(|extras| extras.host.as_mut());
        let Some(host) = host else { return };
        if host.seat == seat {
            host.is_overdue = false;
            return;
        }
        (host.seat, host.is_overdue) = (seat, false);
        host.term += 1;
        let term = host.term;
        let peer = peer.as_ref().map(|peer| peer.as_str().into());
        self.announce(now, room, but, &ServerFrame::Host { peer, term });
    }

    /// Whether a seat is the host, in this term.
    ///
    /// # Errors
    /// Why it isn't.
    pub(super) fn check_host(&self, place: usize, term: u64) -> Result<(), ErrorCode> {
        let seat = &self.seats[place];
        let host = self.rooms.get(&seat.room).and_then(|room| room.host());
        match host {
            Some(host) if host.seat == seat.number && host.term == term => Ok(()),
            Some(host) if term < host.term => Err(ErrorCode::OldTerm),
            Some(_) | None => Err(ErrorCode::NotHost),
        }
    }

    pub(super) fn is_host(&self, place: usize) -> bool {
        let seat = &self.seats[place];
        let host = self.rooms.get(&seat.room).and_then(|room| room.host());
        host.is_some_and(|host| host.seat == seat.number)
    }

    /// Makes another member the host, as the host wants.
    pub(super) fn hand_over(
        &mut self,
        now: Time,
        place: usize,
        (to, term): (&PeerId, u64),
    ) -> Result<(), ErrorCode> {
        self.check_host(place, term)?;
        let room = self.seats[place].room.clone();
        let to = self.seated(&room, to).filter(|to| *to != place).ok_or(ErrorCode::NoSuchPeer)?;
        let number = self.seats[to].number;
        self.make_host(now, &room, (number, 0));
        Ok(())
    }

    /// A seat is away: if it is the host's, the room waits for it for a while.
    pub(super) fn wait_for_host(&mut self, now: Time, place: usize, absence: u64) {
        if self.is_host(place) {
            let number = self.seats[place].number;
            let until = now + self.config.host_patience;
            self.timers.set(until, place, number, Due::Host { absence });
        }
    }

    /// A seat has a connection again.
    pub(super) fn host_is_back(&mut self, place: usize) {
        if self.is_host(place)
            && let Some(there) = self.rooms.get_mut(&self.seats[place].room)
            && let Some(host) = there.extras.as_mut().and_then(|extras| extras.host.as_mut())
        {
            host.is_overdue = false;
        }
    }

    /// That while is over.
    pub(super) fn give_host_up(&mut self, now: Time, place: usize, absence: u64) {
        if !self.seats[place].is_in(absence) || !self.is_host(place) {
            return;
        }
        let room = self.seats[place].room.clone();
        let there = self.rooms.get_mut(&room);
        let host = there.and_then(|there| there.extras.as_mut()?.host.as_mut());
        if let Some(host) = host {
            host.is_overdue = true;
            self.look_for_host(now, &room, 0);
        }
    }
}

impl Seat {
    /// Whether its token makes it the host.
    pub(super) fn is_born_host(&self) -> bool {
        self.role() == Some(HOST)
    }
}
