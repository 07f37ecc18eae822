//! How a client gets a seat, or why it doesn't.

use super::room::Room;
use super::{Happening, Hub};
use crate::protocol::{ErrorCode, ServerFrame};
use crate::seat::{Presence, Seat};
use crate::session::{Incoming, Outgoing};
use crate::{EdgeId, Event, FrameText, Join, NewRoom, PeerId, RoomId, SessionKey};
use heliograph_base::{Now, Time};
use rand::RngExt as _;

impl Hub {
    /// Gives the client a seat and tells the others, or refuses.
    pub(super) fn handle_join(&mut self, now: Now, edge: EdgeId, mut join: Join) {
        if !self.edges.contains_key(&edge) {
            self.take_back(now.time, &join.room, join.once.as_ref());
        }
        let replaced = match self.join_refusal(edge, &join) {
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
            self.make_way(now.time, replaced);
        }
        self.counts.joins += 1;
        let (room, create, after) = (join.room.clone(), join.create.take(), join.after);
        let seat = self.new_seat(now, edge, join);
        let (peer, number) = (seat.peer.clone(), seat.number);
        // The newcomer is the one with the higher number, for everybody.
        self.announce(now.time, &room, number, &ServerFrame::Joined(seat.seen_by(0)));
        if !self.rooms.contains_key(&room) {
            self.happenings.push_back(Happening::RoomOpened(room.clone()));
        }
        let new = || Room::new(now.unix, &self.config, create);
        let there = self.rooms.entry(room.clone()).or_insert_with(new);
        if let Some(extras) = &mut there.extras {
            extras.ends_at = None;
        }
        let place = self.seats.insert(Seat { told: there.news.next(), ..seat });
        there.members.push(place);
        self.know_peer(place);
        self.note_arrival(place);
        self.edges.insert(edge, place);

        self.look_for_host(now.time, &room, number);
        if let Some(there) = self.rooms.get(&room) {
            self.seats[place].told = there.news.next();
        }
        self.output(edge, Event::Seated { peer });
        let mut welcome = self.welcome(now, place);
        if let (Some(about), Some(after)) = (&mut welcome.about, after) {
            (about.events, about.missed) = self.events_after(&room, after);
        }
        let welcome = FrameText::encode(&ServerFrame::Welcome(welcome));
        self.send(place, welcome, None);
        self.plan_renewal(now.time, place);
        self.watch_expiry(place);
    }

    /// A seat as the client asks for it, in no room yet.
    fn new_seat(&mut self, now: Now, edge: EdgeId, join: Join) -> Seat {
        let Join { room, metadata, once, ice, source, grant, .. } = join;
        let given = grant.as_ref().and_then(|grant| grant.peer.clone());
        self.last_seat += 1;
        Seat {
            number: self.last_seat,
            room,
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
            source,
            attempt: 0,
            pairs: None,
            is_ice_cut: false,
        }
    }

    /// Whether there is a seat; gives whom it replaces.
    fn join_refusal(&self, edge: EdgeId, join: &Join) -> Result<Option<usize>, ErrorCode> {
        let room = self.rooms.get(&join.room);
        let no_room_left = room.is_none() && self.rooms.len() >= self.config.rooms_max;
        if self.edges.contains_key(&edge) {
            return Err(ErrorCode::AlreadyJoined);
        }
        self.door_refusal(room, join)?;
        let replaced = self.to_replace(&join.room, join.grant.as_deref())?;
        let capacity = room.map_or(1, |room| room.capacity(&self.config));
        if replaced.is_some() {
            // If there is somebody to replace, there is a seat.
            Ok(replaced)
        } else if room.is_some_and(|room| room.members.len() >= capacity) {
            Err(ErrorCode::RoomFull)
        } else if no_room_left || self.seats.len() >= self.config.members_max {
            Err(ErrorCode::ServerFull)
        } else {
            Ok(None)
        }
    }

    /// Whether the room lets this one in, if it has a place for it.
    fn door_refusal(&self, room: Option<&Room>, join: &Join) -> Result<(), ErrorCode> {
        let Some(room) = room else {
            let may_open = self.config.opens_rooms;
            return if may_open { Ok(()) } else { Err(ErrorCode::NoSuchRoom) };
        };
        let Some(extras) = &room.extras else { return Ok(()) };
        let is_banned = join.source.as_ref().is_some_and(|it| extras.bans.contains(it));
        let knows = match (&extras.password, &join.password) {
            (Some(password), Some(known)) => password.is(known),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if is_banned {
            Err(ErrorCode::Banned)
        } else if extras.sealed {
            Err(ErrorCode::RoomSealed)
        } else if !knows {
            Err(ErrorCode::WrongPassword)
        } else {
            Ok(())
        }
    }

    /// Makes a room that nobody is in yet. Unless it has an idle time, it needs a member at once.
    ///
    /// # Errors
    /// [`ErrorCode::RoomTaken`] or [`ErrorCode::ServerFull`].
    pub fn handle_open_room(
        &mut self,
        now: Now,
        room: &RoomId,
        new: NewRoom,
    ) -> Result<(), ErrorCode> {
        if self.rooms.contains_key(room) {
            return Err(ErrorCode::RoomTaken);
        }
        if self.rooms.len() >= self.config.rooms_max {
            return Err(ErrorCode::ServerFull);
        }
        let there = Room::new(now.unix, &self.config, Some(Box::new(new)));
        self.rooms.insert(room.clone(), there);
        self.happenings.push_back(Happening::RoomOpened(room.clone()));
        if self.leave_idle(now.time, room) {
            self.happenings.push_back(Happening::RoomClosed(room.clone()));
        }
        Ok(())
    }

    /// Lets a room without members wait for others, or end. Says whether it has ended.
    #[must_use]
    pub(super) fn leave_idle(&mut self, now: Time, room: &RoomId) -> bool {
        let Some(there) = self.rooms.get_mut(room) else { return false };
        let extras = there.extras.as_mut();
        match extras.and_then(|extras| Some((extras.idle?, extras))) {
            Some((idle, extras)) => {
                extras.ends_at = Some(now + idle);
                self.gatherings.set(now + idle, room);
                false
            }
            None => self.rooms.remove(room).is_some(),
        }
    }
}
