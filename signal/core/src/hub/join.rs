//! How a client gets a seat, or why it doesn't.

use super::{Hub, Room, renewal_after};
use crate::protocol::{ErrorCode, LeaveReason, ServerFrame};
use crate::seat::{Presence, Seat};
use crate::session::{Incoming, Outgoing};
use crate::timers::Due;
use crate::{EdgeId, Event, FrameText, Join, PeerId, RoomId, SessionKey};
use heliograph_base::Now;
use rand::RngExt as _;

impl Hub {
    /// Gives the client a seat and tells the others, or refuses.
    pub(super) fn handle_join(&mut self, now: Now, edge: EdgeId, join: Join) {
        if !self.edges.contains_key(&edge) {
            self.take_back(now.time, &join.room, join.once.as_ref());
        }
        let replaced = self.to_replace(&join.room, join.grant.as_deref());
        let replaced = match self.join_refusal(edge, &join.room, replaced) {
            Ok(replaced) => replaced,
            Err(code) => return self.refuse(edge, code, join.id),
        };
        let rate = (self.config.room_joins_per_s, self.config.room_joins_burst);
        let joins = self.rooms.get_mut(&join.room).map(|room| &mut room.joins);
        if let Some(Err(wait)) = joins.map(|joins| joins.try_take(now.time, 1, rate)) {
            let (code, id, retry_after) = (ErrorCode::RateLimited, join.id, Some(wait));
            return self.output(edge, Event::Refused { code, text: None, id, retry_after });
        }
        if let Some(replaced) = replaced {
            self.end(now.time, replaced, LeaveReason::Replaced);
        }
        let Join { room, metadata, once, ice, grant, id: _, token: _ } = join;
        let given = grant.as_ref().and_then(|grant| grant.peer.clone());
        self.last_seat += 1;
        self.counts.joins += 1;
        let seat = Seat {
            number: self.last_seat,
            room: room.clone(),
            peer: given.unwrap_or_else(|| PeerId::from_random(self.dice.random())),
            metadata,
            key: SessionKey::from_random(self.dice.random()),
            ice,
            grant,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            presence: Presence::Here(edge),
            heard: now.time,
            since: now.unix,
            senders: Vec::new(),
            told: 0,
            once,
            attempt: 0,
        };
        let (peer, number) = (seat.peer.clone(), seat.number);
        // The newcomer is the one with the higher number, for everybody.
        self.announce(now.time, &room, number, &ServerFrame::Joined(seat.seen_by(0)));
        let there = self.rooms.entry(room).or_insert_with(|| Room::new(now.unix));
        let place = self.seats.insert(Seat { told: there.news.next(), ..seat });
        there.members.push(place);
        self.know_peer(place);
        self.note_arrival(place);
        self.edges.insert(edge, place);

        self.output(edge, Event::Seated { peer });
        let welcome = self.welcome(now, place);
        let welcome = FrameText::encode(&ServerFrame::Welcome(welcome));
        self.send(place, welcome, None);
        if let Some(turn) = &self.turn {
            self.timers.set(now.time + renewal_after(turn.ttl), place, number, Due::Ice);
        }
        self.watch_expiry(place);
    }

    /// Whether there is a seat; gives whom it replaces.
    fn join_refusal(
        &self,
        edge: EdgeId,
        room: &RoomId,
        replaced: Result<Option<usize>, ErrorCode>,
    ) -> Result<Option<usize>, ErrorCode> {
        let members = self.rooms.get(room).map(|room| room.members.len());
        let no_room_left = members.is_none() && self.rooms.len() >= self.config.rooms_max;
        if self.edges.contains_key(&edge) {
            Err(ErrorCode::AlreadyJoined)
        } else if replaced != Ok(None) {
            // If there is somebody to replace, there is a seat.
            replaced
        } else if members.unwrap_or(0) >= self.config.room_members_max {
            Err(ErrorCode::RoomFull)
        } else if no_room_left || self.seats.len() >= self.config.members_max {
            Err(ErrorCode::ServerFull)
        } else {
            Ok(None)
        }
    }
}
