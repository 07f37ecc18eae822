//! Credentials that were taken back, in a list that forgets nothing.

use super::Model;
use crate::clients::{STATIC, expires_s, holder, seat};
use crate::world::UNIX_START_S;
use relay_core::Revoke;
use std::time::Duration;

/// How long a seat is refused.
const SEAT_LIFETIME_S: u64 = 24 * 3600;

#[derive(Debug)]
pub(super) struct Revoked {
    worker: usize,
    revoke: Revoke,
    /// The last expiry of the credentials that are refused.
    through_s: u64,
}

impl Model {
    /// Takes note of a revocation before it is noted what ended: who it is for from now on.
    pub(crate) fn revoke(&mut self, now: Duration, worker: usize, revoke: &Revoke) {
        let live = self.ports.values().filter(|port| {
            let has_time = port.expires.is_some_and(|expires| now < expires);
            port.socket.worker == worker && has_time
        });
        let users = live.map(|port| self.allocations[&port.allocation].user);
        let latest = users.filter(|user| is_meant(revoke, user)).filter_map(expires_s).max();
        let through_s = match revoke {
            Revoke::Seat { .. } => latest.max(Some(UNIX_START_S + now.as_secs() + SEAT_LIFETIME_S)),
            Revoke::User(name) if STATIC.contains(&&**name) => Some(u64::MAX),
            Revoke::Peer { .. } | Revoke::Room(_) | Revoke::User(_) => latest,
        };
        if let Some(through_s) = through_s {
            self.revoked.push(Revoked { worker, revoke: revoke.clone(), through_s });
        }
    }

    /// Takes note of how many ended, and looks that none is left.
    pub(crate) fn revoked(&mut self, worker: usize, revoke: &Revoke, ended: usize) {
        assert_eq!(ended, self.step.closed, "those that end are counted");
        self.revoked_halves += ended as u64;
        let is_left = self
            .allocations
            .values()
            .any(|allocation| allocation.worker == worker && is_meant(revoke, allocation.user));
        assert!(!is_left, "an allocation outlives {revoke:?}");
    }

    pub(crate) fn is_revoked(&self, worker: usize, user: &str) -> bool {
        let expires_s = expires_s(user).unwrap_or(u64::MAX);
        self.revoked.iter().any(|revoked| {
            revoked.worker == worker
                && expires_s <= revoked.through_s
                && is_meant(&revoked.revoke, user)
        })
    }
}

pub(super) fn is_meant(revoke: &Revoke, user: &str) -> bool {
    match revoke {
        Revoke::Seat { room, peer, seat: number } => seat(user).is_some_and(|seat| {
            (seat.room, seat.peer, seat.seat) == (room.as_str(), peer.as_str(), *number)
        }),
        Revoke::Peer { room, peer } => {
            seat(user).is_some_and(|seat| (seat.room, seat.peer) == (room.as_str(), peer.as_str()))
        }
        Revoke::Room(room) => seat(user).is_some_and(|seat| seat.room == *room),
        Revoke::User(name) => name == user || name == holder(user),
    }
}
