//! What requests do: each decides, and answers are written elsewhere.

use super::Server;
use super::allocation::Allocation;
use super::answer::Success;
use super::credentials::{User, UserKind};
use super::peers::{Peers, Unbound};
use super::request::Request;
use super::stock::{Family, Wanted};
use super::table::Slot;
use crate::Effect;
use crate::wire::{ErrorCode, Method};
use std::net::IpAddr;
use std::time::Duration;

/// The protocol number of UDP.
const UDP: u8 = 17;

/// The R bit of EVEN-PORT: the next port is wanted too. RFC 8656 §18.7.
const RESERVE_NEXT: u8 = 0x80;

impl Server {
    /// Finds out who asks. RFC 8489 §9.2.4.
    ///
    /// The nonce is checked before the password: it costs less, and a wrong password under an old
    /// nonce gets 438 anyway.
    pub(super) fn authenticate<'a>(&self, request: &Request<'a>) -> Result<User<'a>, ErrorCode> {
        if !request.message.has_integrity() {
            return Err(ErrorCode::Unauthorized);
        }
        let fields = &request.fields;
        let (Some(name), Some(_), Some(nonce)) = (fields.username, fields.realm, fields.nonce)
        else {
            return Err(ErrorCode::BadRequest);
        };
        if !self.nonces.is_good(request.now.time, request.client, nonce) {
            return Err(ErrorCode::StaleNonce);
        }
        let name = str::from_utf8(name).map_err(|_| ErrorCode::Unauthorized)?;
        let known = self.table.of_client(request.client).map(|slot| self.table.get(slot));
        let user = match known.filter(|allocation| *allocation.user == *name) {
            Some(allocation) => known_user(request, name, allocation),
            None => self.checker.check(request.now.unix, name, &request.message),
        };
        user.ok_or(ErrorCode::Unauthorized)
    }

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
            Method::Binding | Method::Send | Method::Data => Err(ErrorCode::BadRequest),
        }
    }

    /// RFC 8656 §7.2.
    fn allocate(&mut self, request: &Request<'_>, user: User<'_>) -> Result<Success, ErrorCode> {
        if let Some(slot) = self.table.of_client(request.client) {
            return retransmitted(self.table.get(slot), request, user);
        }
        let wanted = self.wanted_port(request)?;
        let lifetime_s = self.lifetime_s(request)?;
        self.check_quota(user)?;
        let stocked = self.stock.take(wanted).ok_or(ErrorCode::InsufficientCapacity)?;
        let expires = request.now.time + Duration::from_secs(lifetime_s.into());
        let relayed = stocked.advertised;
        self.table.insert(Allocation {
            client: request.client,
            port: stocked.port,
            relayed,
            expires,
            user: user.name.into(),
            user_kind: user.kind,
            key: user.key,
            transaction: request.transaction(),
            lifetime_s,
            peers: Peers::default(),
        });
        self.ports.take(relayed, self.worker);
        self.effects.push_back(Effect::PortTaken(stocked.port));
        self.counters.allocations_begun += 1;
        Ok(Success::Allocated { relayed, lifetime_s })
    }

    fn wanted_port(&self, request: &Request<'_>) -> Result<Wanted, ErrorCode> {
        let fields = &request.fields;
        match fields.transport {
            Some(&[UDP, _, _, _]) => {}
            Some(&[_, _, _, _]) => return Err(ErrorCode::UnsupportedTransportProtocol),
            Some(_) | None => return Err(ErrorCode::BadRequest),
        }
        if fields.reservation_token.is_some() {
            let contradicts = fields.even_port.is_some() || fields.family.is_some();
            // No token of a client is good, as none is ever given out.
            return Err(if contradicts {
                ErrorCode::BadRequest
            } else {
                ErrorCode::InsufficientCapacity
            });
        }
        let is_even = match fields.even_port {
            None => false,
            Some(&[bits]) if bits & RESERVE_NEXT == 0 => true,
            Some(&[_]) => return Err(ErrorCode::InsufficientCapacity),
            Some(_) => return Err(ErrorCode::BadRequest),
        };
        let family = self.wanted_family(fields.family)?;
        let listener = self.listener(request.client.listener).local.ip();
        Ok(Wanted { family, is_even, listener })
    }

    fn wanted_family(&self, value: Option<&[u8]>) -> Result<Family, ErrorCode> {
        let family = match value {
            // RFC 8656 §7.2: IPv4 unless asked otherwise. A relay without IPv4 gives what it has.
            None if self.ports.any(IpAddr::is_ipv4) => Family::V4,
            None => Family::V6,
            Some(&[1, _, _, _]) => Family::V4,
            Some(&[2, _, _, _]) => Family::V6,
            Some(&[_, _, _, _]) => return Err(ErrorCode::AddressFamilyNotSupported),
            Some(_) => return Err(ErrorCode::BadRequest),
        };
        let is_there = self.ports.any(|address| Family::of(*address) == family);
        if is_there { Ok(family) } else { Err(ErrorCode::AddressFamilyNotSupported) }
    }

    /// What the client asks for, but no less than the default and no more than the most.
    fn lifetime_s(&self, request: &Request<'_>) -> Result<u32, ErrorCode> {
        let asked_s = request.lifetime_s().map_err(|_| ErrorCode::BadRequest)?.unwrap_or(0);
        let asked = Duration::from_secs(asked_s.into());
        let lifetime = asked.clamp(self.config.lifetime_default, self.config.lifetime_max);
        Ok(u32::try_from(lifetime.as_secs()).expect("the config's lifetimes fit"))
    }

    fn check_quota(&self, user: User<'_>) -> Result<(), ErrorCode> {
        let quota = match user.kind {
            UserKind::Static => self.config.allocations_per_user_max,
            UserKind::Holder { .. } => self.config.allocations_per_holder_max,
        };
        if self.table.quota_used(user.name, user.kind) >= quota {
            return Err(ErrorCode::AllocationQuotaReached);
        }
        if self.table.len() >= self.config.allocations_max {
            return Err(ErrorCode::InsufficientCapacity);
        }
        Ok(())
    }

    /// RFC 8656 §8.2.
    fn refresh(&mut self, request: &Request<'_>, user: User<'_>) -> Result<Success, ErrorCode> {
        let slot = self.own_allocation(request, user)?;
        if let Some(value) = request.fields.family
            && self.wanted_family(Some(value))? != self.family(slot)
        {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        if request.is_farewell() {
            self.end(slot);
            return Ok(Success::Refreshed { lifetime_s: 0 });
        }
        let lifetime_s = self.lifetime_s(request)?;
        let expires = request.now.time + Duration::from_secs(lifetime_s.into());
        self.table.set_expires(slot, expires);
        Ok(Success::Refreshed { lifetime_s })
    }

    /// RFC 8656 §10.2: all peers get their permission, or none.
    fn create_permission(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        let slot = self.own_allocation(request, user)?;
        request.peer().map_err(|_| ErrorCode::BadRequest)?;
        for peer in request.peers() {
            let peer = peer.map_err(|_| ErrorCode::BadRequest)?;
            self.check_peer(slot, peer.ip())?;
        }
        let peers = || request.peers().flatten().map(|peer| peer.ip());
        self.check_permissions_fit(request, slot, peers())?;
        for peer in peers() {
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
        let slot = self.own_allocation(request, user)?;
        let number = request.channel().map_err(|_| ErrorCode::BadRequest)?;
        let peer = request.peer().map_err(|_| ErrorCode::BadRequest)?;
        self.check_peer(slot, peer.ip())?;
        if peer.port() == 0 || self.is_own_server(peer) {
            return Err(ErrorCode::Forbidden);
        }
        let (now, max) = (request.now.time, self.config.channels_max);
        self.table.get(slot).peers.can_bind(now, number, peer, max).map_err(
            |unbound| match unbound {
                Unbound::Taken => ErrorCode::BadRequest,
                Unbound::Full => ErrorCode::InsufficientCapacity,
            },
        )?;
        self.check_permissions_fit(request, slot, [peer.ip()].into_iter())?;
        self.permit(request, slot, peer.ip());
        self.table.get_mut(slot).peers.bind(now, number, peer);
        Ok(Success::Bound)
    }

    /// The allocation of the client, if this user made it.
    fn own_allocation(&self, request: &Request<'_>, user: User<'_>) -> Result<Slot, ErrorCode> {
        let slot = self.table.of_client(request.client).ok_or(ErrorCode::AllocationMismatch)?;
        if *self.table.get(slot).user != *user.name {
            return Err(ErrorCode::WrongCredentials);
        }
        Ok(slot)
    }

    /// Whether there may be a permission for `peer`. One for an address of this relay is always
    /// granted: it holds inside.
    fn check_peer(&self, slot: Slot, peer: IpAddr) -> Result<(), ErrorCode> {
        if Family::of(peer) != self.family(slot) {
            return Err(ErrorCode::PeerAddressFamilyMismatch);
        }
        if !self.config.policy.permits(peer) && !self.ports.is_own(peer) {
            return Err(ErrorCode::Forbidden);
        }
        Ok(())
    }

    fn check_permissions_fit(
        &self,
        request: &Request<'_>,
        slot: Slot,
        peers: impl Iterator<Item = IpAddr>,
    ) -> Result<(), ErrorCode> {
        let max = self.config.permissions_max;
        let fits = self.table.get(slot).peers.can_permit(request.now.time, peers, max);
        if fits { Ok(()) } else { Err(ErrorCode::InsufficientCapacity) }
    }

    fn permit(&mut self, request: &Request<'_>, slot: Slot, peer: IpAddr) {
        let on_network = self.config.policy.permits(peer);
        self.table.get_mut(slot).peers.permit(request.now.time, peer, on_network);
    }

    fn family(&self, slot: Slot) -> Family {
        Family::of(self.table.get(slot).relayed.ip())
    }
}

/// The user of an allocation, if it signed with the key of the first time. Credentials that have
/// expired since still end an allocation, but don't prolong it.
fn known_user<'a>(
    request: &Request<'_>,
    name: &'a str,
    allocation: &Allocation,
) -> Option<User<'a>> {
    let (key, kind) = (allocation.key, allocation.user_kind);
    let has_expired = match kind {
        UserKind::Static => false,
        UserKind::Holder { expires } => request.now.unix >= expires,
    };
    if has_expired && request.method == Method::Refresh && !request.is_farewell() {
        return None;
    }
    request.message.is_signed_with(&key).then_some(User { name, key, kind })
}

/// RFC 8656 §7.2: a retransmitted Allocate gets the answer of the first one, another one 437.
fn retransmitted(
    allocation: &Allocation,
    request: &Request<'_>,
    user: User<'_>,
) -> Result<Success, ErrorCode> {
    if allocation.transaction != request.transaction() || *allocation.user != *user.name {
        return Err(ErrorCode::AllocationMismatch);
    }
    let (relayed, lifetime_s) = (allocation.relayed, allocation.lifetime_s);
    Ok(Success::Allocated { relayed, lifetime_s })
}
