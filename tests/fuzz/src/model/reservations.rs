//! Addresses that are kept for a later Allocate. RFC 8656 §7.2.

use super::{Asked, Model};
use crate::clients::holder;
use crate::read::find;
use crate::world::Event;
use relay_core::ReservationToken;
use relay_core::wire::{Method, attribute};
use std::time::Duration;

/// RFC 8656 §7.2: "at least 30 seconds".
const LIFETIME: Duration = Duration::from_secs(30);

/// The most reservations of all, and of one holder.
pub(crate) const RESERVATIONS_MAX: (usize, usize) = (3, 2);

#[derive(Debug)]
pub(super) struct Reservation {
    /// The worker that made it, and ends it if nobody comes.
    pub(super) worker: usize,
    holder: &'static str,
    pub(super) until: Duration,
}

impl Model {
    pub(super) fn reserve(
        &mut self,
        now: Duration,
        asked: Asked<'_>,
        event: &Event,
        token: ReservationToken,
    ) {
        let request = asked.request(Method::Allocate).expect("only Allocate reserves");
        assert_eq!(find(&request, attribute::EVEN_PORT).map(|value| value[0] & 0x80), Some(0x80));
        let socket = event.port.expect("it has a socket");
        assert!(!socket.is_tcp && !socket.address.port().is_multiple_of(2));
        assert!(!self.tokens.contains(&token), "a token is never given twice");
        let holder = holder(asked.user);
        let of_holder = self.reservations.values().filter(|one| one.holder == holder).count();
        assert!(self.reservations.len() < RESERVATIONS_MAX.0 && of_holder < RESERVATIONS_MAX.1);
        let until = now + LIFETIME;
        self.reservations.insert(token, Reservation { worker: event.worker, holder, until });
        self.tokens.push(token);
        self.step.reserved = Some(token);
    }

    pub(super) fn adopt(&mut self, now: Duration, asked: Asked<'_>, token: ReservationToken) {
        let request = asked.request(Method::Allocate).expect("only Allocate redeems");
        assert_eq!(find(&request, attribute::RESERVATION_TOKEN), Some(&token.0[..]));
        let reservation = self.reservations.remove(&token).expect("it is kept, once");
        assert_eq!(reservation.holder, holder(asked.user), "another user's");
        assert!(now < reservation.until, "its time is over");
        self.step.adopted = Some(token);
    }

    pub(super) fn end_reservation(
        &mut self,
        now: Duration,
        worker: usize,
        token: ReservationToken,
    ) {
        let reservation = self.reservations.remove(&token).expect("it is kept");
        assert_eq!(reservation.worker, worker, "who made it ends it");
        assert!(reservation.until <= now, "it has time");
    }

    /// The tokens that were given, oldest first.
    pub(crate) fn tokens(&self) -> &[ReservationToken] {
        &self.tokens
    }

    pub(crate) fn reservations(&self) -> usize {
        self.reservations.len()
    }
}
