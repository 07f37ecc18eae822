//! What happens in rooms, as others than their members are told.

use crate::protocol::LeaveReason;
use crate::{PeerId, RoomId};

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
