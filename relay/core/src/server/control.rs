//! What requests do: each decides, and answers are written elsewhere.

use super::Server;
use super::answer::Success;
use super::credentials::User;
use super::peers::Unbound;
use super::request::Request;
use super::stock::Family;
use super::table::Slot;
use crate::wire::{ErrorCode, Method};
use std::net::IpAddr;
use std::time::Duration;

impl Server {
    pub(super) fn perform(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        if !request.fields.unknown.kinds().is_empty() {
            return Err(ErrorCode::UnknownAttribute);
        }
        match request.method {
            Method::Allocate => self.allocate(request, user),
            Method::Refresh => self.refresh(request, user),
            Method::CreatePermission => self.create_permission(request, user),
            Method::ChannelBind => self.bind_channel(request, user),
            Method::Connect => self.connect(request, user),
            Method::ConnectionBind => self.bind_connection(request, user),
            Method::Binding | Method::Send | Method::Data | Method::ConnectionAttempt => {
                Err(ErrorCode::BadRequest)
            }
        }
    }

    /// What the client asks for, but no less than the default and no more than the most.
    pub(super) fn lifetime_s(&self, request: &Request<'_>) -> Result<u32, ErrorCode> {
        let asked_s = request.lifetime_s().map_err(|_| ErrorCode::BadRequest)?.unwrap_or(0);
        let asked = Duration::from_secs(asked_s.into());
        let lifetime = asked.clamp(self.config.lifetime_default, self.config.lifetime_max);
        Ok(u32::try_from(lifetime.as_secs()).expect("the config's lifetimes fit"))
    }

    /// RFC 8656 §8.2.
    fn refresh(&mut self, request: &Request<'_>, user: User<'_>) -> Result<Success, ErrorCode> {
        let refreshed = self.refreshed(request, user)?;
        let family = match request.fields.family {
            Some(value) => Some(self.wanted_family(Some(value)).map_err(of_no_allocation)?),
            None => None,
        };
        // RFC 8656 §8.1: "If no REQUESTED-ADDRESS-FAMILY attribute is included, then the request
        // should be treated as applying to all current allocations."
        let is_meant = |slot: &Slot| family.is_none_or(|family| family == self.family(*slot));
        let [one, two] = {
            let mut slots = self.table.halves(refreshed.first).filter(is_meant);
            [slots.next(), slots.next()]
        };
        // RFC 8656 §8.2: "[if it] does not match the address family of the allocation, the server
        // MUST reply with a 443 (Peer Address Family Mismatch)".
        let slots = [Some(one.ok_or(ErrorCode::PeerAddressFamilyMismatch)?), two];
        if request.is_farewell() {
            slots.into_iter().flatten().for_each(|slot| self.end(slot));
            return Ok(Success::Refreshed { lifetime_s: 0, ticket: None });
        }
        let lifetime_s = self.lifetime_s(request)?;
        let expires = request.now.time + Duration::from_secs(lifetime_s.into());
        for slot in slots.into_iter().flatten() {
            self.table.set_expires(slot, expires);
        }
        Ok(self.moved(request, refreshed, lifetime_s))
    }

    /// RFC 8656 §10.2: all peers get their permission, or none.
    fn create_permission(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        let first = self.own_allocation(request, user)?;
        request.peer().map_err(|_| ErrorCode::BadRequest)?;
        for peer in request.peers() {
            let peer = peer.map_err(|_| ErrorCode::BadRequest)?;
            self.check_peer(first, peer.ip())?;
        }
        let mut new = 0;
        for slot in self.table.halves(first) {
            let family = self.family(slot);
            let peers = request.peers().flatten().map(|peer| peer.ip());
            let peers = peers.filter(|peer| Family::of(*peer) == family);
            new += self.new_permissions(request, slot, peers)?;
        }
        self.take_peers(request, first, new)?;
        for peer in request.peers().flatten().map(|peer| peer.ip()) {
            let slot = self.check_peer(first, peer)?;
            self.permit(request, slot, peer);
        }
        Ok(Success::Permitted)
    }

    /// RFC 8656 §12.2.
    fn bind_channel(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        let first = self.own_allocation(request, user)?;
        // Channels carry datagrams.
        if self.table.get(first).connections.is_some() {
            return Err(ErrorCode::BadRequest);
        }
        let number = request.channel().map_err(|_| ErrorCode::BadRequest)?;
        let peer = request.peer().map_err(|_| ErrorCode::BadRequest)?;
        let slot = self.check_peer(first, peer.ip())?;
        if self.is_denied_peer(peer) {
            return Err(ErrorCode::Forbidden);
        }
        let (now, max) = (request.now.time, self.config.channels_max);
        let mut others = self.table.halves(first).filter(|half| *half != slot);
        if others.any(|half| self.table.get(half).peers.channel_peer(now, number).is_some()) {
            return Err(ErrorCode::BadRequest);
        }
        self.table.get(slot).peers.can_bind(now, number, peer, max).map_err(
            |unbound| match unbound {
                Unbound::Taken => ErrorCode::BadRequest,
                Unbound::Full => ErrorCode::InsufficientCapacity,
            },
        )?;
        let new = self.new_permissions(request, slot, [peer.ip()].into_iter())?;
        self.take_peers(request, slot, new)?;
        self.permit(request, slot, peer.ip());
        self.table.get_mut(slot).peers.bind(now, number, peer);
        Ok(Success::Bound)
    }

    /// The allocation of the client, if this user made it.
    pub(super) fn own_allocation(
        &self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Slot, ErrorCode> {
        let slot = self.table.of_client(request.client).ok_or(ErrorCode::AllocationMismatch)?;
        if *self.table.get(slot).record.user != *user.name {
            return Err(ErrorCode::WrongCredentials);
        }
        Ok(slot)
    }

    /// The half of the allocation that speaks to `peer`, if there may be a permission for it. One
    /// for an address of this relay is always granted: it holds inside.
    fn check_peer(&self, first: Slot, peer: IpAddr) -> Result<Slot, ErrorCode> {
        let slot = self.half_for(first, peer).ok_or(ErrorCode::PeerAddressFamilyMismatch)?;
        if !self.config.policy.permits(peer) && !self.ports.is_own(peer) {
            return Err(ErrorCode::Forbidden);
        }
        Ok(slot)
    }

    /// The half of a dual allocation, or the only one, that is of the family of `peer`.
    pub(super) fn half_for(&self, first: Slot, peer: IpAddr) -> Option<Slot> {
        self.table.halves(first).find(|slot| self.family(*slot) == Family::of(peer))
    }

    /// How many new permissions those for `peers` are, if they fit.
    fn new_permissions(
        &self,
        request: &Request<'_>,
        slot: Slot,
        peers: impl Iterator<Item = IpAddr>,
    ) -> Result<usize, ErrorCode> {
        let max = self.config.permissions_max;
        let new = self.table.get(slot).peers.new_permissions(request.now.time, peers, max);
        new.ok_or(ErrorCode::InsufficientCapacity)
    }

    /// Counts new peers against the rate of the user. RFC 8656 §10.2 has 508 for "some capacity
    /// limit or policy".
    fn take_peers(
        &mut self,
        request: &Request<'_>,
        slot: Slot,
        count: usize,
    ) -> Result<(), ErrorCode> {
        let has_them = self.table.take_peers(request.now.time, slot, count);
        if has_them { Ok(()) } else { Err(ErrorCode::InsufficientCapacity) }
    }

    fn permit(&mut self, request: &Request<'_>, slot: Slot, peer: IpAddr) {
        let on_network = self.config.policy.permits(peer);
        self.table.get_mut(slot).peers.permit(request.now.time, peer, on_network);
    }

    fn family(&self, slot: Slot) -> Family {
        Family::of(self.table.get(slot).relayed.ip())
    }
}

/// A family that the relay hasn't is one that the allocation hasn't: to a Refresh that matters.
fn of_no_allocation(code: ErrorCode) -> ErrorCode {
    if code == ErrorCode::AddressFamilyNotSupported {
        return ErrorCode::PeerAddressFamilyMismatch;
    }
    code
}
