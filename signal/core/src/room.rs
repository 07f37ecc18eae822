//! One room: its members in the order of their joining.

use crate::{Metadata, PeerId, SessionId};
use ahash::RandomState;
use std::collections::HashMap;

/// Who sits in a room. Seat numbers grow, so the order of the members is the order of their seats.
#[derive(Debug)]
pub(crate) struct Room {
    members: Vec<Member>,
    seats: HashMap<PeerId, u64, RandomState>,
}

/// Somebody in a room.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) seat: u64,
    pub(crate) session: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) metadata: Metadata,
}

impl Room {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { members: Vec::new(), seats: HashMap::with_hasher(hasher) }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member whose seat it is.
    ///
    /// # Panics
    /// If nobody has the seat.
    pub(crate) fn member(&self, seat: u64) -> &Member {
        &self.members[self.index(seat).expect("a seat is its member's")]
    }

    pub(crate) fn find(&self, peer: &PeerId) -> Option<&Member> {
        let seat = self.seats.get(peer)?;
        self.members.get(self.index(*seat)?)
    }

    /// Puts a member in, whose seat number is higher than all before.
    pub(crate) fn insert(&mut self, member: Member) {
        assert!(self.members.last().is_none_or(|last| last.seat < member.seat));
        self.seats.insert(member.peer.clone(), member.seat);
        self.members.push(member);
    }

    pub(crate) fn remove(&mut self, seat: u64) -> Option<Member> {
        let member = self.members.remove(self.index(seat)?);
        self.seats.remove(&member.peer);
        Some(member)
    }

    fn index(&self, seat: u64) -> Option<usize> {
        self.members.binary_search_by_key(&seat, |member| member.seat).ok()
    }
}
