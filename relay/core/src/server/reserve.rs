//! Pairs of relayed transport addresses: EVEN-PORT with the R bit, and RESERVATION-TOKEN. RFC 8656
//! §7.2.

use super::Server;
use super::credentials::{User, quota_name};
use super::request::Request;
use super::stock::{StockedPort, Wanted};
use crate::config::RESERVATION_LIFETIME;
use crate::reservations::Reservation;
use crate::wire::ErrorCode;
use crate::{Effect, ReservationToken};
use heliograph_base::Time;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::collections::VecDeque;

/// The reservations that this worker made, and has to end.
#[derive(Debug)]
pub(super) struct Reserved {
    /// Makes the tokens, with their count: nobody without the seed can tell the next one.
    tokens: Hmac<Sha1>,
    made: u64,
    /// Oldest first. Some may be redeemed.
    due: VecDeque<(Time, ReservationToken)>,
}

impl Reserved {
    pub(super) fn new(seed: [u8; 20]) -> Self {
        let tokens = Hmac::new_from_slice(&seed).expect("HMAC takes keys of any length");
        Self { tokens, made: 0, due: VecDeque::new() }
    }

    fn token(&mut self) -> ReservationToken {
        self.made += 1;
        let mut hmac = self.tokens.clone();
        hmac.update(&self.made.to_be_bytes());
        let bytes: [u8; 20] = hmac.finalize().into_bytes().into();
        let [a, b, c, d, e, f, g, h, ..] = bytes;
        ReservationToken([a, b, c, d, e, f, g, h])
    }

    /// When [`Server::end_reservations`] next has something to do.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.front().map(|(due, _)| *due)
    }
}

/// The token of a request, if it has one. RFC 8656 §7.2: 400 if it "also contains an EVEN-PORT or
/// REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY attribute".
pub(super) fn token_of(request: &Request<'_>) -> Result<Option<ReservationToken>, ErrorCode> {
    let fields = &request.fields;
    let Some(value) = fields.reservation_token else {
        return Ok(None);
    };
    let others = [fields.even_port, fields.family, fields.additional_family];
    match value.try_into() {
        Ok(token) if others.iter().all(Option::is_none) => Ok(Some(ReservationToken(token))),
        Ok(_) | Err(_) => Err(ErrorCode::BadRequest),
    }
}

impl Server {
    /// RFC 8656 §7.2: "the server looks for a pair of port numbers N and N+1 on the same IP
    /// address, where N is even. Port N is used in the current allocation, while the relayed
    /// transport address with port N+1 is assigned a token and reserved for a future allocation".
    pub(super) fn take_pair(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
        wanted: Wanted,
    ) -> Result<(StockedPort, ReservationToken), ErrorCode> {
        let pair = self.stock.take_pair(wanted);
        let (even, odd) = pair.ok_or(ErrorCode::InsufficientCapacity)?;
        let (token, expires) = (self.reserved.token(), request.now.time + RESERVATION_LIFETIME);
        let holder = quota_name(user.name, user.kind).into();
        let reservation = Reservation { token, relayed: odd.advertised, holder, expires };
        let (max, holder_max) =
            (self.config.reservations_max, self.config.reservations_per_holder_max);
        if !self.ports.reservations.add(reservation, max, holder_max) {
            self.stock.give_back([even, odd]);
            return Err(ErrorCode::InsufficientCapacity);
        }
        let (reservations, due) = (&self.ports.reservations, &mut self.reserved.due);
        if due.len() >= max {
            due.retain(|(_, token)| reservations.is_live(*token));
        }
        due.push_back((expires, token));
        self.effects.push_back(Effect::PortReserved { port: odd.port, token });
        Ok((even, token))
    }

    /// Takes the address that a token stands for. A port of the stock makes room for it: its number
    /// is good in this worker.
    pub(super) fn take_reserved(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
        token: ReservationToken,
    ) -> Result<StockedPort, ErrorCode> {
        let spare = self.stock.take_spare().ok_or(ErrorCode::InsufficientCapacity)?;
        let holder = quota_name(user.name, user.kind);
        let Some(relayed) = self.ports.reservations.redeem(request.now.time, token, holder) else {
            self.stock.give_back([spare]);
            // "If the token is not valid for some reason, the server rejects the request with a 508
            // (Insufficient Capacity) error."
            return Err(ErrorCode::InsufficientCapacity);
        };
        self.effects.push_back(Effect::PortAdopted { port: spare.port, token });
        Ok(spare.renamed(relayed))
    }

    /// Ends the reservations of this worker that nobody redeemed in time.
    pub(super) fn end_reservations(&mut self, now: Time) {
        while let Some((due, token)) = self.reserved.due.front().copied() {
            if now < due {
                return;
            }
            self.reserved.due.pop_front();
            if self.ports.reservations.end(token) {
                self.effects.push_back(Effect::ReservationEnded(token));
            }
        }
    }
}
