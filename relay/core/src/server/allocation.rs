//! One allocation: whose it is, and for how long. RFC 8656 §3.2.

use super::Client;
use super::answer::Allocated;
use super::credentials::UserKind;
use super::mobility::Mobility;
use super::peers::Peers;
use super::rates::UserId;
use super::table::Slot;
use crate::wire::{ConnectionId, Key, TransactionId};
use crate::{Flow, PortId};
use heliograph_base::Time;
use std::net::SocketAddr;

/// What one client was given: one relayed transport address. A dual allocation is two of these,
/// which know each other. RFC 8656 §6: each relayed transport address has its own time-to-expiry,
/// permissions and channels.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: Client,
    /// The other half of a dual allocation, of the other address family.
    pub(super) sibling: Option<Slot>,
    pub(super) port: PortId,
    /// The relayed transport address, as the client is told.
    pub(super) relayed: SocketAddr,
    /// Where the user's rates are.
    pub(super) user_id: UserId,
    /// Whom it may talk to.
    pub(super) peers: Peers,
    /// What its client sent to peers, and they to it.
    pub(super) from_client: Flow,
    pub(super) to_client: Flow,
    /// Its connections with peers, if it is one of TCP.
    #[expect(clippy::box_collection, reason = "nearly all have none, and none should be small")]
    pub(super) connections: Option<Box<Vec<ConnectionId>>>,
    /// All that no packet of data needs: the less there is to an allocation, the more of them are
    /// in the caches of the CPU.
    pub(super) record: Box<Record>,
}

/// What only requests need to know of an allocation.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) begun: Time,
    pub(super) expires: Time,
    pub(super) user: Box<str>,
    pub(super) user_kind: UserKind,
    /// The prefix of the client's address, against which it counts.
    pub(super) source: u64,
    /// The key that authenticated the user, so that later requests cost one HMAC.
    pub(super) key: Key,
    /// The Allocate that made it, which gets the same answer when it comes again.
    pub(super) transaction: TransactionId,
    /// The answer to it.
    pub(super) answer: Allocated,
    /// Whether its client is told of ICMP errors.
    pub(super) wants_icmp: bool,
    /// If its client may take it along; of a dual allocation the first half has it.
    pub(super) mobility: Option<Box<Mobility>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_with_a_few_peers_takes_less_than_a_kibibyte() {
        let in_tables = 2 * size_of::<(Client, u32)>() + 2 * size_of::<(SocketAddr, u32)>();
        let itself = size_of::<Allocation>() + size_of::<Record>();
        let whole = itself + Peers::BYTES_OF_FOUR + in_tables;
        assert!(whole < 1024, "{whole} bytes");
    }
}
