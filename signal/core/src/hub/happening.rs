//! What happens in rooms, as others than their members are told.

use super::Hub;
use crate::protocol::LeaveReason;
use crate::{Metadata, PeerId, RoomId};

/// Something that happened in a room.
///
/// Of each room they read: opened; then members that join and leave; closed when the last one has
/// left, or some time after that if the room waits for others. A room of the same id that is opened
/// later is another one.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A room was made.
    RoomOpened(RoomId),
    /// Somebody was given a seat.
    Joined(Arrival),
    /// Somebody's session ended.
    Left(Departure),
    /// It is no more; nobody is in it.
    RoomClosed(RoomId),
}

impl Happening {
    /// Where it happened.
    #[must_use]
    pub fn room(&self) -> &RoomId {
        match self {
            Self::RoomOpened(room) | Self::RoomClosed(room) => room,
            Self::Joined(arrival) => &arrival.room,
            Self::Left(departure) => &departure.room,
        }
    }
}

/// The beginning of somebody's stay in a room.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The room.
    pub room: RoomId,
    /// Who joined.
    pub peer: PeerId,
    /// The number of the seat, as in the TURN username that it got.
    pub seat: u64,
    /// What it told the others about itself.
    pub metadata: Metadata,
    /// How many members the room has now, this one included.
    pub members: usize,
}

/// The end of somebody's stay in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The room.
    pub room: RoomId,
    /// Who left.
    pub peer: PeerId,
    /// The number of the seat, as in the TURN username that it got.
    pub seat: u64,
    /// Why.
    pub reason: LeaveReason,
    /// How many members are left.
    pub members: usize,
}

impl Departure {
    /// Whether the peer left on purpose or was removed, so that what it was given may be taken
    /// back. Otherwise only its signaling is lost, and it may talk on with its peers.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        match self.reason {
            LeaveReason::Left
            | LeaveReason::Misbehaved
            | LeaveReason::Expired
            | LeaveReason::Replaced
            | LeaveReason::Kicked
            | LeaveReason::Closed => true,
            LeaveReason::Lost
            | LeaveReason::Slow
            | LeaveReason::Vanished
            | LeaveReason::Unknown => false,
        }
    }
}

impl Hub {
    /// Takes note that a seat was given.
    pub(super) fn note_arrival(&mut self, place: usize) {
        let seat = &self.seats[place];
        let members = self.rooms.get(&seat.room).map_or(0, |room| room.members.len());
        let arrival = Arrival {
            room: seat.room.clone(),
            peer: seat.peer.clone(),
            seat: seat.number,
            metadata: seat.metadata.clone(),
            members,
        };
        self.happenings.push_back(Happening::Joined(arrival));
    }

    /// Takes note that a session ended.
    pub(super) fn note_departure(&mut self, departure: Departure) {
        let is_over = departure.members == 0 && !self.rooms.contains_key(&departure.room);
        let closed = is_over.then(|| departure.room.clone());
        self.happenings.push_back(Happening::Left(departure));
        self.happenings.extend(closed.map(Happening::RoomClosed));
    }
}
