//! Relayed transport addresses that are kept for a later Allocate, of any client at any worker.
//! RFC 8656 §7.2.

use heliograph_base::Time;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value of RESERVATION-TOKEN: who has it gets the address that it stands for. RFC 8656 §18.9.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

impl std::fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReservationToken(..)")
    }
}

/// One address that is kept.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) token: ReservationToken,
    /// As the client will be told.
    pub(crate) relayed: SocketAddr,
    /// Whose it is, as quotas count; nobody else gets it.
    pub(crate) holder: Box<str>,
    pub(crate) expires: Time,
}

/// The live reservations of all workers of one relay.
///
/// Behind a lock, which is taken only for an Allocate that makes or redeems one, and at its end.
#[derive(Debug, Default)]
pub(crate) struct Reservations {
    /// As few as the limit of the config, so they are scanned.
    live: Mutex<Vec<Reservation>>,
}

impl Reservations {
    /// Adds one; `false` if there would be more than `max`, or more than `holder_max` of its
    /// holder, or if its token is in use.
    pub(crate) fn add(&self, new: Reservation, max: usize, holder_max: usize) -> bool {
        let mut live = self.lock();
        let of_holder = live.iter().filter(|one| one.holder == new.holder).count();
        let is_in_use = live.iter().any(|one| one.token == new.token);
        let fits = live.len() < max && of_holder < holder_max && !is_in_use;
        if fits {
            live.push(new);
        }
        fits
    }

    /// Takes the address that `token` stands for, once.
    pub(crate) fn redeem(
        &self,
        now: Time,
        token: ReservationToken,
        holder: &str,
    ) -> Option<SocketAddr> {
        let mut live = self.lock();
        let is_it =
            |one: &Reservation| one.token == token && *one.holder == *holder && now < one.expires;
        let place = live.iter().position(is_it)?;
        Some(live.swap_remove(place).relayed)
    }

    /// Ends one; `false` if it was redeemed.
    pub(crate) fn end(&self, token: ReservationToken) -> bool {
        let mut live = self.lock();
        let place = live.iter().position(|one| one.token == token);
        place.map(|place| live.swap_remove(place)).is_some()
    }

    pub(crate) fn is_live(&self, token: ReservationToken) -> bool {
        self.lock().iter().any(|one| one.token == token)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reservation>> {
        // Nothing panics while it is held.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
