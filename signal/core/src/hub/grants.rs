//! What follows from what the members' tokens permit: their peer ids, and how long they may stay.

use super::Hub;
use crate::config::{AtExpiry, PeerTaken};
use crate::protocol::{ErrorCode, LeaveReason, ServerFrame};
use crate::seat::Seat;
use crate::timers::Due;
use crate::{EdgeId, Event, FrameText, Grant, Numbered, PeerId, Renew, RoomId, SessionName};
use heliograph_base::{Now, Time};

impl Hub {
    /// Where this peer sits in this room.
    pub(super) fn seated(&self, room: &RoomId, peer: &PeerId) -> Option<usize> {
        let place = self.peers.get(peer).copied();
        let here = place.filter(|place| self.seats[*place].room == *room);
        here.or_else(|| {
            let name = || SessionName { room: room.clone(), peer: peer.clone() };
            // Most hubs know of none: then it costs nothing.
            if self.named.is_empty() { None } else { self.named.get(&name()).copied() }
        })
    }

    /// Who has the peer id that a newcomer is to have.
    ///
    /// # Errors
    /// If it may not be replaced.
    pub(super) fn to_replace(
        &self,
        room: &RoomId,
        grant: Option<&Grant>,
    ) -> Result<Option<usize>, ErrorCode> {
        let peer = grant.and_then(|grant| grant.peer.as_ref());
        let place = peer.and_then(|peer| self.seated(room, peer));
        match (place, self.config.peer_taken) {
            (Some(_), PeerTaken::Refuse) => Err(ErrorCode::PeerTaken),
            (place, PeerTaken::Refuse | PeerTaken::Replace) => Ok(place),
        }
    }

    /// From now on the seat's peer is found by its id.
    pub(super) fn know_peer(&mut self, place: usize) {
        let seat = &self.seats[place];
        let peer = seat.peer.clone();
        if seat.is_named() {
            // The same id may be taken in other rooms.
            self.named.insert(SessionName { room: seat.room.clone(), peer }, place);
        } else {
            self.peers.insert(peer, place);
        }
    }

    pub(super) fn forget_peer(&mut self, seat: &Seat) {
        if seat.is_named() {
            let name = SessionName { room: seat.room.clone(), peer: seat.peer.clone() };
            self.named.remove(&name);
        } else {
            self.peers.remove(&seat.peer);
        }
    }

    /// Sees to it that the seat's end comes in time.
    pub(super) fn watch_expiry(&mut self, place: usize) {
        let seat = &self.seats[place];
        if let Some(expires) = seat.expires() {
            self.timers.set(expires, place, seat.number, Due::Expiry);
        }
    }

    /// Takes note of a newer token. Credentials that ended with the one before are renewed.
    pub(super) fn handle_renew(&mut self, now: Now, edge: EdgeId, renew: Renew) {
        let Renew { grant, id, token: _ } = renew;
        let Some(place) = self.edges.get(&edge).copied() else {
            return self.refuse(edge, ErrorCode::HelloFirst, id);
        };
        let seat = &mut self.seats[place];
        seat.heard = now.time;
        let grant = grant.unwrap_or_default();
        if let Some(text) = seat.difference(&grant) {
            let (code, text) = (ErrorCode::Forbidden, Some(text.into()));
            return self.output(edge, Event::Refused { code, text, id, retry_after: None });
        }
        let expires = grant.expires;
        if let Some(own) = &mut seat.grant {
            own.expires = expires;
        }
        self.watch_expiry(place);
        let expires_in_s = expires.map(|expires| expires.since(now.time).as_secs());
        let frame = FrameText::encode(&ServerFrame::Token { id, expires_in_s });
        self.output(edge, Event::Frame(Numbered { seq: None, ack: None, frame }));
        if self.seats[place].is_ice_cut {
            self.renew_ice(now, place);
        }
    }

    /// Ends a session whose token has expired, if that is what is wanted.
    pub(super) fn end_expired(&mut self, now: Time, place: usize) {
        let may_go_on = self.config.at_expiry == AtExpiry::Keep;
        if self.seats[place].is_expired(now) && !may_go_on {
            self.end(now, place, LeaveReason::Expired);
        }
    }

    /// Whether a session can't be taken up again, since its token has expired: one that may outlive
    /// its token does so only until it is away.
    pub(super) fn is_too_late(&self, now: Time, place: usize) -> bool {
        let seat = &self.seats[place];
        let is_lost = self.config.at_expiry == AtExpiry::End || seat.is_away();
        seat.is_expired(now) && is_lost
    }
}

impl Seat {
    /// Whether its peer id is one that a token gave.
    pub(super) fn is_named(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| grant.peer.is_some())
    }

    pub(super) fn expires(&self) -> Option<Time> {
        self.grant.as_ref().and_then(|grant| grant.expires)
    }

    fn is_expired(&self, now: Time) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }

    /// Why another token can't be that of this session.
    fn difference(&self, other: &Grant) -> Option<&'static str> {
        let own = self.grant.as_deref();
        if own.and_then(|own| own.subject.as_deref()) != other.subject.as_deref() {
            return Some("this token is for another subject than that of the session");
        }
        match &other.peer {
            Some(peer) if *peer != self.peer => {
                Some("this token is for another peer than that of the session")
            }
            Some(_) | None => None,
        }
    }
}
