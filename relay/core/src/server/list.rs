//! What an operator sees of the live allocations.

use super::allocation::Allocation;
use super::credentials::{UserKind, quota_name};
use super::revoke::seat_of;
use super::{Server, Slot};
use crate::{Flow, Transport};
use heliograph_base::{Now, SeatName};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Which allocations are asked for: those that all its fields mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocationQuery {
    /// Those of seats in this room.
    pub room: Option<String>,
    /// Those of seats of this peer.
    pub peer: Option<String>,
    /// Those behind this relayed transport address.
    pub after: Option<SocketAddr>,
    /// So many at most, in the order of the relayed transport addresses.
    pub limit: usize,
}

/// A live allocation; a dual one is two of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationInfo {
    /// The relayed transport address, as the client was told.
    pub relayed: SocketAddr,
    /// The client's address.
    pub client: SocketAddr,
    /// How the client reaches the relay.
    pub transport: Transport,
    /// Whether it relays TCP connections (RFC 6062), whose bytes are not counted here.
    pub is_tcp: bool,
    /// Whose it is: of a time-limited username what follows the expiry.
    pub user: String,
    /// The seat that such a username names.
    pub seat: Option<SeatInfo>,
    /// How long ago it was made.
    pub age: Duration,
    /// When it ends, if it isn't refreshed.
    pub expires_in: Duration,
    /// What its client sent to peers.
    pub from_client: Flow,
    /// What peers sent to its client.
    pub to_client: Flow,
}

/// A [`SeatName`] of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatInfo {
    /// The room's id.
    pub room: String,
    /// The peer's id.
    pub peer: String,
    /// The number of the seat.
    pub seat: u64,
}

impl SeatInfo {
    /// The same, borrowed.
    #[must_use]
    pub fn name(&self) -> SeatName<'_> {
        SeatName { room: &self.room, peer: &self.peer, seat: self.seat }
    }
}

impl AllocationQuery {
    fn means(&self, allocation: &Allocation) -> bool {
        if self.after.is_some_and(|after| allocation.relayed <= after) {
            return false;
        }
        if (&self.room, &self.peer) == (&None, &None) {
            return true;
        }
        let seat = seat_of(&allocation.record.user, allocation.record.user_kind);
        let is =
            |asked: &Option<String>, there: &str| asked.as_ref().is_none_or(|asked| asked == there);
        seat.is_some_and(|seat| is(&self.room, seat.room) && is(&self.peer, seat.peer))
    }
}

impl Server {
    /// The live allocations of this worker that are meant.
    ///
    /// Looks at every one of them.
    #[must_use]
    pub fn allocations(&self, now: Now, query: &AllocationQuery) -> Vec<AllocationInfo> {
        let mut first: BTreeMap<(SocketAddr, bool), Slot> = BTreeMap::new();
        let is_live = |allocation: &Allocation| now.time < allocation.record.expires;
        for (slot, allocation) in self.table.all() {
            if !is_live(allocation) || !query.means(allocation) {
                continue;
            }
            first.insert((allocation.relayed, allocation.connections.is_some()), slot);
            if first.len() > query.limit {
                first.pop_last();
            }
        }
        first.into_values().map(|slot| self.info(now, self.table.get(slot))).collect()
    }

    fn info(&self, now: Now, allocation: &Allocation) -> AllocationInfo {
        let record = &allocation.record;
        let kind: UserKind = record.user_kind;
        let owned = |SeatName { room, peer, seat }: SeatName<'_>| SeatInfo {
            room: room.to_owned(),
            peer: peer.to_owned(),
            seat,
        };
        AllocationInfo {
            relayed: allocation.relayed,
            client: allocation.client.address,
            transport: self.listener(allocation.client.listener).transport,
            is_tcp: allocation.connections.is_some(),
            user: quota_name(&record.user, kind).to_owned(),
            seat: seat_of(&record.user, kind).map(owned),
            age: now.time.since(record.begun),
            expires_in: record.expires.since(now.time),
            from_client: allocation.from_client,
            to_client: allocation.to_client,
        }
    }
}
