//! What seats are told of STUN and TURN servers, and when they are told anew.

use super::Hub;
use crate::config::AtExpiry;
use crate::protocol::{IceServer, IceUpdate, ServerFrame};
use crate::seat::Seat;
use crate::timers::Due;
use crate::{FrameText, IceUrls};
use heliograph_base::{Credentials, Now, SeatName, Time};
use std::time::Duration;

impl Hub {
    /// The servers for a seat, with credentials that are made now.
    ///
    /// Where a session ends with its token, they are good no longer than that: a relay elsewhere
    /// knows nothing of sessions.
    pub(super) fn ice(&self, now: Now, seat: &Seat) -> IceUpdate {
        let ttl = self.credentials_ttl(now.time, seat).unwrap_or_default();
        let IceUrls { stun, turn: urls, others } = &*seat.ice;
        let mut servers = Vec::new();
        if !stun.is_empty() {
            servers.push(IceServer { urls: stun.clone(), username: None, credential: None });
        }
        if let Some(turn) = self.turn.as_ref().filter(|_| !urls.is_empty()) {
            let (room, peer) = (seat.room.as_str(), seat.peer.as_str());
            let holder = SeatName { room, peer, seat: seat.number };
            let minted = Credentials::mint(&turn.secret, now.unix + ttl, holder);
            let (username, credential) = (Some(minted.username), Some(minted.password));
            servers.push(IceServer { urls: urls.clone(), username, credential });
        }
        servers.extend(others.iter().cloned());
        IceUpdate { ice_servers: servers, ice_ttl_s: ttl.as_secs() }
    }

    /// Whether a seat is told of a TURN server.
    pub(super) fn offers_turn(&self, seat: &Seat) -> bool {
        let IceUrls { turn, others, .. } = &*seat.ice;
        let others = others.iter().flat_map(|server| &server.urls);
        (self.turn.is_some() && !turn.is_empty())
            || others.into_iter().any(|url| url.starts_with("turn"))
    }

    /// Gives a seat new credentials.
    pub(super) fn renew_ice(&mut self, now: Now, place: usize) {
        if self.turn.is_some() {
            self.plan_renewal(now.time, place);
            let update = self.ice(now, &self.seats[place]);
            self.send(place, FrameText::encode(&ServerFrame::Ice(update)), None);
        }
    }

    /// Sees to it that credentials that are made now are renewed before they expire. Those that end
    /// with a token are renewed with it.
    pub(super) fn plan_renewal(&mut self, now: Time, place: usize) {
        let Some(turn) = &self.turn else { return };
        let Some(ttl) = self.credentials_ttl(now, &self.seats[place]) else { return };
        let seat = &mut self.seats[place];
        seat.is_ice_cut = ttl < turn.ttl;
        if !seat.is_ice_cut {
            self.timers.set(now + renewal_after(ttl), place, seat.number, Due::Ice);
        }
    }

    /// For how long credentials that are made now are good, if there are any.
    fn credentials_ttl(&self, now: Time, seat: &Seat) -> Option<Duration> {
        let most = self.turn.as_ref()?.ttl;
        let end = match self.config.at_expiry {
            AtExpiry::End => seat.expires(),
            AtExpiry::Keep => None,
        };
        Some(end.map_or(most, |end| end.since(now).min(most)))
    }
}

/// When credentials are renewed: early enough that no refresh of an allocation meets expired ones.
fn renewal_after(ttl: Duration) -> Duration {
    ttl * 3 / 4
}
