//! What members ask of their room: to say something to all, to change what it keeps, to remove
//! others.

use super::Hub;
use crate::protocol::{ErrorCode, ErrorFrame, LeaveReason, RulesPatch, ServerFrame, Writers};
use crate::{Audience, EdgeId, Event, FrameText, Metadata, PeerId, RoomAction, RoomRequest};
use heliograph_base::Time;
use serde_json::value::RawValue;
use std::time::Duration;

/// Why a request is refused.
#[derive(Debug)]
struct Refusal {
    code: ErrorCode,
    retry_after: Option<Duration>,
    /// Whether the client is told the state.
    shows_state: bool,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, retry_after: None, shows_state: code == ErrorCode::Conflict }
    }
}

/// What a frame costs beside what is said in it, in bytes: the time to send it.
const FRAME_COST_BYTES: usize = 256;

impl Hub {
    /// Carries out what a member asks of its room, or refuses.
    pub(super) fn handle_room(&mut self, now: Time, edge: EdgeId, request: RoomRequest) {
        let RoomRequest { action, id } = request;
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, id);
        };
        self.seats[place].heard = now;
        if let Some(id) = id
            && !self.take_turn(now, (edge, place), id)
        {
            return;
        }
        let done = match action {
            RoomAction::Broadcast { data, to } => self.broadcast(now, place, &data, &to),
            RoomAction::State { value, if_version } => {
                self.set_state(now, place, value, if_version)
            }
            RoomAction::Metadata(metadata) => self.set_metadata(now, place, metadata),
            RoomAction::Rules { patch, term } => self.set_rules(now, place, patch, term),
            RoomAction::HandOver { to, term } => {
                self.hand_over(now, place, (&to, term)).map_err(Refusal::from)
            }
            RoomAction::Kick { peer, ban, term } => self.kick(now, place, (&peer, ban, term)),
        };
        if let Err(refusal) = done {
            self.refuse_request((edge, place), id, &refusal);
        }
        self.tell_if_many(place);
    }

    fn refuse_request(
        &mut self,
        (edge, place): (EdgeId, usize),
        id: Option<u64>,
        refusal: &Refusal,
    ) {
        let &Refusal { code, retry_after, shows_state } = refusal;
        let Some(id) = id else {
            return self.output(edge, Event::Refused { code, text: None, id, retry_after });
        };
        let room = self.rooms.get(&self.seats[place].room);
        let extras = room.and_then(|room| room.extras.as_ref()).filter(|_| shows_state);
        let error = ErrorFrame {
            code,
            text: code.advice().into(),
            retry: code.retry(),
            retry_after_ms: retry_after.map(|after| after.as_millis() as u64),
            state: extras.and_then(|extras| extras.state()),
            id: Some(id),
        };
        let frame = FrameText::encode(&ServerFrame::Error(error));
        self.send(place, frame, None);
    }

    /// Says something to several. All see what is said to all at the same place among what else
    /// happens in the room.
    fn broadcast(
        &mut self,
        now: Time,
        place: usize,
        data: &RawValue,
        to: &Audience,
    ) -> Result<(), Refusal> {
        let seat = &self.seats[place];
        let (room, from) = (seat.room.clone(), seat.peer.clone());
        let Some(there) = self.rooms.get_mut(&room) else { return Ok(()) };
        let audience: Vec<usize> = match to {
            Audience::All => there.members.clone(),
            Audience::Role(role) => {
                let is_it =
                    |it: &usize| *it != place && self.seats[*it].role() == Some(role.as_str());
                there.members.iter().copied().filter(is_it).collect()
            }
            Audience::Peers(peers) => {
                let mut places: Vec<_> =
                    peers.iter().filter_map(|peer| self.seated(&room, peer)).collect();
                places.retain(|it| *it != place);
                places.sort_unstable();
                places.dedup();
                places
            }
        };
        self.spend(now, place, data.get().len(), audience.len())?;
        let Some(there) = self.rooms.get_mut(&room) else { return Ok(()) };
        let history = there.extras.as_mut().map(|extras| &mut extras.history);
        let history = history.filter(|_| *to == Audience::All);
        let event = history.as_ref().and_then(|history| history.next());
        let frame = ServerFrame::Broadcast { event, from: from.as_str().into(), data };
        let frame = FrameText::encode(&frame);
        if let Some(history) = history {
            history.push(now, frame.clone(), &self.config);
        }
        self.counts.broadcasts += 1;
        match to {
            Audience::All => self.tell_all(&room, &frame),
            Audience::Role(_) | Audience::Peers(_) => {
                for to in audience {
                    self.tell_news_of(place, to);
                    self.send(to, frame.clone(), None);
                }
            }
        }
        Ok(())
    }

    /// Takes note that so many members will be sent so much, or says when they may be. What one
    /// member says costs as many times as there are others.
    fn spend(
        &mut self,
        now: Time,
        place: usize,
        bytes: usize,
        members: usize,
    ) -> Result<(), Refusal> {
        let rate = (self.config.broadcast_bytes_per_s, self.config.broadcast_bytes_burst);
        let Some(there) = self.rooms.get_mut(&self.seats[place].room) else { return Ok(()) };
        // What costs more than a whole burst takes all of it, or else it could never be said.
        let cost = (((bytes + FRAME_COST_BYTES) * members) as u64).min(rate.1);
        let refused = |wait| Refusal {
            code: ErrorCode::RateLimited,
            retry_after: Some(wait),
            shows_state: false,
        };
        there.broadcasts.try_take(now, cost, rate).map_err(refused)
    }

    /// The same for all members of the room.
    fn spend_for_all(&mut self, now: Time, place: usize, bytes: usize) -> Result<(), Refusal> {
        let there = self.rooms.get(&self.seats[place].room);
        let members = there.map_or(0, |there| there.members.len());
        self.spend(now, place, bytes, members)
    }

    fn set_state(
        &mut self,
        now: Time,
        place: usize,
        value: Box<RawValue>,
        if_version: Option<u64>,
    ) -> Result<(), Refusal> {
        let seat = &self.seats[place];
        let (room, by) = (seat.room.clone(), seat.peer.clone());
        let is_host = self.is_host(place);
        let Some(there) = self.rooms.get_mut(&room) else { return Ok(()) };
        let extras = there.extras(&self.config);
        if extras.writers == Writers::Host && !is_host {
            return Err(ErrorCode::NotHost.into());
        }
        if if_version.is_some_and(|version| version != extras.version) {
            return Err(ErrorCode::Conflict.into());
        }
        self.spend_for_all(now, place, value.get().len())?;
        let Some(there) = self.rooms.get_mut(&room) else { return Ok(()) };
        let extras = there.extras(&self.config);
        extras.version += 1;
        let version = extras.version;
        let frame = ServerFrame::State { by: by.as_str().into(), version, value: &value };
        let frame = FrameText::encode(&frame);
        extras.state = Some(value);
        self.tell_all(&room, &frame);
        Ok(())
    }

    fn set_metadata(&mut self, now: Time, place: usize, metadata: Metadata) -> Result<(), Refusal> {
        self.spend_for_all(now, place, metadata.value().get().len())?;
        let seat = &mut self.seats[place];
        seat.metadata = metadata.clone();
        let (room, number, peer) = (seat.room.clone(), seat.number, seat.peer.clone());
        let (peer, metadata) = (peer.as_str().into(), metadata.value());
        self.announce(now, &room, number, &ServerFrame::Metadata { peer, metadata });
        Ok(())
    }

    fn set_rules(
        &mut self,
        now: Time,
        place: usize,
        patch: RulesPatch,
        term: u64,
    ) -> Result<(), Refusal> {
        self.check_host(place, term)?;
        self.spend_for_all(now, place, 0)?;
        let room = self.seats[place].room.clone();
        let Some(there) = self.rooms.get_mut(&room) else { return Ok(()) };
        let extras = there.extras(&self.config);
        extras.apply(patch);
        let frame = FrameText::encode(&ServerFrame::Rules(extras.rules()));
        self.tell_all(&room, &frame);
        Ok(())
    }

    fn kick(
        &mut self,
        now: Time,
        place: usize,
        (peer, ban, term): (&PeerId, bool, u64),
    ) -> Result<(), Refusal> {
        self.check_host(place, term)?;
        let room = self.seats[place].room.clone();
        let whom = self.seated(&room, peer).filter(|whom| *whom != place);
        let whom = whom.ok_or(ErrorCode::NoSuchPeer)?;
        if let (true, Some(source)) = (ban, self.seats[whom].source.clone())
            && let Some(there) = self.rooms.get_mut(&room)
        {
            there.extras(&self.config).ban(source, self.config.bans_max);
        }
        self.end(now, whom, LeaveReason::Kicked);
        Ok(())
    }
}
