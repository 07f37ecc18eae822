//! Rooms that want to be found.

use super::Hub;
use crate::{RoomId, SessionKey, SessionName};
use heliograph_base::UnixTime;
use serde_json::value::RawValue;

/// A public room, as anybody may see it.
#[derive(Clone, Debug)]
pub struct PublicRoom {
    /// Its id.
    pub room: RoomId,
    /// How many seats are taken.
    pub members: usize,
    /// The most that can be.
    pub capacity: usize,
    /// Nobody else may join.
    pub sealed: bool,
    /// Newcomers must know a password.
    pub locked: bool,
    /// When it was made.
    pub since: UnixTime,
    /// How often its state was set.
    pub version: u64,
    /// Its state, once it was set.
    pub state: Option<Box<RawValue>>,
}

impl PublicRoom {
    /// Whether somebody who knows no password gets in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.sealed && !self.locked && self.members < self.capacity
    }
}

impl Hub {
    /// The public rooms, in no order.
    ///
    /// Looks at every room.
    #[must_use]
    pub fn public_rooms(&self) -> Vec<PublicRoom> {
        let public = self.rooms.iter().filter_map(|(room, there)| {
            let extras = there.extras.as_ref().filter(|extras| extras.public)?;
            Some(PublicRoom {
                room: room.clone(),
                members: there.members.len(),
                capacity: extras.capacity,
                sealed: extras.sealed,
                locked: extras.password.is_some(),
                since: there.since,
                version: extras.version,
                state: extras.state.clone(),
            })
        });
        public.collect()
    }

    /// Whether anybody may read what was said in a room; nothing if there is no such room.
    #[must_use]
    pub fn is_readable(&self, room: &RoomId) -> Option<bool> {
        let extras = self.rooms.get(room)?.extras.as_ref();
        Some(extras.is_some_and(|extras| extras.public && extras.password.is_none()))
    }

    /// Whether the key is that of a member of the room.
    #[must_use]
    pub fn is_member(&self, name: &SessionName, key: &SessionKey) -> bool {
        self.session(name, key).is_some()
    }
}
