//! What an operator asks of a hub: who is there, and that somebody or everybody goes.

use super::{Happening, Hub, PairInfo, Room};
use crate::protocol::LeaveReason;
use crate::seat::{Presence, Seat};
use crate::{PeerId, Role, RoomId};
use heliograph_base::{Time, UnixTime};
use std::collections::BTreeMap;

/// A room, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its id.
    pub room: RoomId,
    /// How many seats are taken, those without a connection included.
    pub members: usize,
    /// When its first member made it.
    pub since: UnixTime,
}

/// A room and who is in it, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomDetails {
    /// The room.
    pub info: RoomInfo,
    /// Its members in the order of their joining.
    pub members: Vec<MemberInfo>,
    /// Its pairs of members that say that they are, or are to be, connected.
    pub pairs: Vec<PairInfo>,
}

/// A member of a room, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its peer id.
    pub peer: PeerId,
    /// The number of its seat, as in its TURN username.
    pub seat: u64,
    /// The size of what it told the others about itself.
    pub metadata_bytes: usize,
    /// What its token says that it is.
    pub role: Option<Role>,
    /// Whether it is the host of the room.
    pub is_host: bool,
    /// Whether it has no connection at the moment, whether or not the others were told.
    pub is_away: bool,
    /// When it joined.
    pub since: UnixTime,
    /// Frames that it was sent and has not acknowledged.
    pub unacked_frames: usize,
    /// Their bytes.
    pub unacked_bytes: usize,
}

impl Hub {
    /// The rooms in the order of their ids: those behind `after`, `limit` at most.
    ///
    /// Looks at every room.
    #[must_use]
    pub fn room_infos(&self, after: Option<&RoomId>, limit: usize) -> Vec<RoomInfo> {
        let mut first = BTreeMap::new();
        for (id, room) in &self.rooms {
            if after.is_some_and(|after| id <= after) {
                continue;
            }
            if first.len() >= limit {
                match first.last_key_value() {
                    Some((last, _)) if id < *last => first.pop_last(),
                    Some(_) | None => continue,
                };
            }
            first.insert(id, room);
        }
        let info = |(id, room): (&RoomId, &Room)| RoomInfo {
            room: id.clone(),
            members: room.members.len(),
            since: room.since,
        };
        first.into_iter().map(info).collect()
    }

    /// A room, its members, and how `pairs_max` of its pairs are connected; nothing if there is no
    /// such room.
    #[must_use]
    pub fn room_details(&self, room: &RoomId, pairs_max: usize) -> Option<RoomDetails> {
        let there = self.rooms.get(room)?;
        let host = there.host().map_or(0, |host| host.seat);
        let info =
            RoomInfo { room: room.clone(), members: there.members.len(), since: there.since };
        let members = there.members.iter().map(|place| member_info(&self.seats[*place], host));
        let pairs = self.pair_infos(there, pairs_max);
        Some(RoomDetails { info, members: members.collect(), pairs })
    }

    /// Removes a peer from a room: its session ends with [`LeaveReason::Kicked`], which the others
    /// are told. Says which seat it had; nothing if it isn't there.
    pub fn handle_kick(&mut self, now: Time, room: &RoomId, peer: &PeerId) -> Option<u64> {
        let place = self.seated(room, peer)?;
        let number = self.seats[place].number;
        self.end(now, place, LeaveReason::Kicked);
        self.end_overflowing(now);
        self.forget_timers();
        Some(number)
    }

    /// Ends all sessions of a room with [`LeaveReason::Closed`]. Says how many there were; nothing
    /// if there is no such room. Who joins it afterwards makes it anew.
    pub fn handle_close_room(&mut self, now: Time, room: &RoomId) -> Option<usize> {
        let members = self.rooms.remove(room)?.members;
        for place in &members {
            // All go at once: nobody is left to be told of the others, or of what never came.
            self.seats[*place].outgoing.drain();
        }
        for (gone, place) in members.iter().enumerate() {
            self.vacate(now, *place, LeaveReason::Closed, members.len() - gone - 1);
        }
        self.happenings.push_back(Happening::RoomClosed(room.clone()));
        self.forget_timers();
        Some(members.len())
    }
}

fn member_info(seat: &Seat, host: u64) -> MemberInfo {
    let (unacked_frames, unacked_bytes) = seat.outgoing.kept();
    MemberInfo {
        peer: seat.peer.clone(),
        seat: seat.number,
        metadata_bytes: seat.metadata.value().get().len(),
        role: seat.grant.as_ref().and_then(|grant| grant.role.clone()),
        is_host: seat.number == host,
        is_away: matches!(seat.presence, Presence::Gone { .. }),
        since: seat.since,
        unacked_frames,
        unacked_bytes,
    }
}
