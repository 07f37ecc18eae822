//! Allocate: which relayed transport addresses a client gets. RFC 8656 §7.2.

use super::Server;
use super::allocation::{Allocation, Record};
use super::answer::{Allocated, NoFamily, Success};
use super::credentials::{User, UserKind, quota_name};
use super::limiter::prefix;
use super::peers::Peers;
use super::request::Request;
use super::reserve::token_of;
use super::revoke::seat_of;
use super::stock::{Family, StockedPort, Wanted};
use super::table::Slot;
use crate::usage::Claim;
use crate::wire::{ConnectionId, ErrorCode};
use crate::{Effect, Flow, ReservationToken, Transport};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The protocol number of UDP.
const UDP: u8 = 17;

/// The protocol number of TCP.
const TCP: u8 = 6;

/// The R bit of EVEN-PORT: the next port is wanted too. RFC 8656 §18.7.
const RESERVE_NEXT: u8 = 0x80;

/// What an Allocate asks for.
#[derive(Clone, Copy, Debug)]
struct Wishes {
    token: Option<ReservationToken>,
    wanted: Wanted,
    with_other: bool,
    lifetime_s: u32,
    wants_ticket: bool,
}

impl Server {
    pub(super) fn allocate(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Success, ErrorCode> {
        if let Some(slot) = self.table.of_client(request.client) {
            return retransmitted(self.table.get(slot), request, user);
        }
        if self.revoked.contains(user) {
            return Err(ErrorCode::Forbidden);
        }
        // RFC 8489 §14.8: 300 "MUST only be sent if the request included either a USERNAME or
        // USERHASH attribute and a valid MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 attribute".
        if self.alternate(request, Family::of(request.client.address.ip())).is_some() {
            return Err(ErrorCode::TryAlternate);
        }
        if let Some(&[TCP, _, _, _]) = request.fields.transport {
            return self.allocate_tcp(request, user);
        }
        let token = token_of(request)?;
        let wanted = self.wanted_port(request)?;
        let with_other = self.wants_other(request)?;
        let lifetime_s = self.lifetime_s(request)?;
        let wants_ticket = self.wants_ticket(request)?;
        let wishes = Wishes { token, wanted, with_other, lifetime_s, wants_ticket };
        self.in_place(request, user, |server| server.allocate_in_place(request, user, wishes))
    }

    /// Begins one or two allocations, of which the first has its place in the quotas.
    fn allocate_in_place(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
        wishes: Wishes,
    ) -> Result<Success, ErrorCode> {
        let Wishes { token, wanted, with_other, lifetime_s, wants_ticket } = wishes;
        let taken = match token {
            Some(token) => self.take_reserved(request, user, token).map(|stocked| (stocked, None)),
            None if wanted.with_next => {
                let pair = self.take_pair(request, user, wanted);
                pair.map(|(even, token)| (even, Some(token)))
            }
            None => self.take_port(wanted).map(|stocked| (stocked, None)),
        };
        let ((stocked, reserved), missing) = match taken {
            Ok(taken) => (taken, None),
            // RFC 8656 §7.2: "If the server can partially meet the request, i.e., if it can only
            // allocate one relayed transport address of a specific address type, then it includes
            // ADDRESS-ERROR-CODE attribute in the success response".
            Err(code) if with_other => {
                let stocked = self.take_port(wanted.of(Family::V6));
                let none = NoFamily { family: wanted.family, code };
                ((stocked.map_err(|_| ErrorCode::InsufficientCapacity)?, None), Some(none))
            }
            Err(code) => return Err(code),
        };
        let relayed = stocked.advertised;
        let mut answer = Allocated { relayed, other: None, reserved, lifetime_s, ticket: None };
        let first = self.begin_allocation(request, user, stocked, answer, None);
        if with_other {
            let other = match missing {
                Some(none) => Err(none),
                None => self.begin_other(request, user, wanted.of(Family::V6), answer),
            };
            answer.other = Some(other.map(|stocked| stocked.advertised));
        }
        answer.ticket = wants_ticket.then(|| self.begin_mobility(first));
        for slot in self.table.halves(first) {
            self.table.get_mut(slot).record.answer = answer;
        }
        Ok(Success::Allocated(answer))
    }

    /// The server of this family that takes the allocations of this client instead of us: always
    /// the same one.
    pub(super) fn alternate(&self, request: &Request<'_>, family: Family) -> Option<SocketAddr> {
        let of_family = || {
            let all = self.config.alternate_servers.iter();
            all.filter(|alternate| Family::of(alternate.ip()) == family)
        };
        let count = of_family().count() as u64;
        let place = self.indication_hasher.hash_one(request.client).checked_rem(count)?;
        of_family().nth(place as usize).copied()
    }

    /// The name in the certificate of the alternate servers, if this client is to be told: one that
    /// came by TLS and used MESSAGE-INTEGRITY-SHA256. RFC 8489 §10.
    pub(super) fn alternate_domain(&self, request: &Request<'_>) -> Option<&str> {
        let is_tls = self.listener(request.client.listener).transport == Transport::Tls;
        let domain = self.config.alternate_domain.as_deref()?;
        (is_tls && request.wants_sha256()).then_some(domain)
    }

    /// Begins the second half of a dual allocation, or says why it can't be.
    fn begin_other(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
        wanted: Wanted,
        answer: Allocated,
    ) -> Result<StockedPort, NoFamily> {
        // It counts against the quotas like the first half.
        let stocked = self.in_place(request, user, |server| server.take_port(wanted));
        let stocked = stocked.map_err(|code| {
            let is_over = code == ErrorCode::AllocationQuotaReached;
            let code = if is_over { ErrorCode::InsufficientCapacity } else { code };
            NoFamily { family: wanted.family, code }
        })?;
        self.begin_allocation(request, user, stocked, answer, None);
        Ok(stocked)
    }

    pub(super) fn begin_allocation(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
        stocked: StockedPort,
        answer: Allocated,
        connections: Option<Vec<ConnectionId>>,
    ) -> Slot {
        let (relayed, is_udp) = (stocked.advertised, connections.is_none());
        let user_id = self.table.rates.begin(request.now.time, user.name, user.kind);
        let slot = self.table.insert(Allocation {
            client: request.client,
            sibling: None,
            port: stocked.port,
            relayed,
            user_id,
            peers: Peers::default(),
            from_client: Flow::default(),
            to_client: Flow::default(),
            connections: connections.map(Box::new),
            record: Box::new(Record {
                begun: request.now.time,
                expires: request.now.time + Duration::from_secs(answer.lifetime_s.into()),
                user: user.name.into(),
                user_kind: user.kind,
                source: prefix(request.client.address.ip()),
                key: user.key,
                transaction: request.transaction(),
                answer,
                wants_icmp: self.config.icmp_to_all || request.is_of_rfc_8656(),
                mobility: None,
            }),
        });
        if is_udp {
            self.ports.take(relayed, self.worker);
        }
        self.effects.push_back(Effect::PortTaken(stocked.port));
        self.counters.allocations_begun += 1;
        slot
    }

    /// Takes a place in the quotas for one more allocation; if `allocate` fails, gives it back.
    pub(super) fn in_place<T>(
        &mut self,
        request: &Request<'_>,
        user: User<'_>,
        allocate: impl FnOnce(&mut Self) -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let source = prefix(request.client.address.ip());
        self.ports.usage.take(&self.config, &self.claim(user.name, user.kind, source))?;
        let outcome = allocate(self);
        if outcome.is_err() {
            self.ports.usage.give_back(&self.claim(user.name, user.kind, source));
        }
        outcome
    }

    /// What an allocation of this user counts against.
    pub(super) fn claim<'a>(&self, name: &'a str, kind: UserKind, source: u64) -> Claim<'a> {
        let user_max = match kind {
            UserKind::Static => self.config.allocations_per_user_max,
            UserKind::Holder { .. } => self.config.allocations_per_holder_max,
        };
        let room = seat_of(name, kind).map(|seat| seat.room);
        Claim { user: quota_name(name, kind), user_max, room, source }
    }

    fn take_port(&mut self, wanted: Wanted) -> Result<StockedPort, ErrorCode> {
        if !self.ports.any(|address| Family::of(*address) == wanted.family) {
            return Err(ErrorCode::AddressFamilyNotSupported);
        }
        let stocked = self.stock.take(wanted).ok_or(ErrorCode::InsufficientCapacity)?;
        if wanted.is_even
            && let Some(odd) = self.stock.take_next(&stocked)
        {
            self.effects.push_back(Effect::ClosePort(odd.port));
        }
        Ok(stocked)
    }

    pub(super) fn wanted_port(&self, request: &Request<'_>) -> Result<Wanted, ErrorCode> {
        let fields = &request.fields;
        match fields.transport {
            Some(&[UDP | TCP, _, _, _]) => {}
            Some(&[_, _, _, _]) => return Err(ErrorCode::UnsupportedTransportProtocol),
            Some(_) | None => return Err(ErrorCode::BadRequest),
        }
        let (is_even, with_next) = match fields.even_port {
            None => (false, false),
            Some(&[bits]) => (true, bits & RESERVE_NEXT != 0),
            Some(_) => return Err(ErrorCode::BadRequest),
        };
        // RFC 8656 §7.2: with the R bit set to 1, "if the request also contained the
        // ADDITIONAL-ADDRESS-FAMILY attribute [...] 400 (Bad Request)".
        if with_next && fields.additional_family.is_some() {
            return Err(ErrorCode::BadRequest);
        }
        let family = match fields.additional_family {
            // The first of two; whether it is there is seen later.
            Some(_) => Family::V4,
            None => self.wanted_family(fields.family)?,
        };
        let listener = self.listener(request.client.listener).local.ip();
        Ok(Wanted { family, is_even, with_next, listener })
    }

    /// Whether the client asks for a dual allocation.
    fn wants_other(&self, request: &Request<'_>) -> Result<bool, ErrorCode> {
        match request.fields.additional_family {
            None => Ok(false),
            Some(&[2, _, _, _]) if request.fields.family.is_none() => Ok(true),
            Some(_) => Err(ErrorCode::BadRequest),
        }
    }

    pub(super) fn wanted_family(&self, value: Option<&[u8]>) -> Result<Family, ErrorCode> {
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
}

/// RFC 8656 §7.2: a retransmitted Allocate gets the answer of the first one, another one 437.
fn retransmitted(
    allocation: &Allocation,
    request: &Request<'_>,
    user: User<'_>,
) -> Result<Success, ErrorCode> {
    if allocation.record.transaction != request.transaction()
        || *allocation.record.user != *user.name
    {
        return Err(ErrorCode::AllocationMismatch);
    }
    Ok(Success::Allocated(allocation.record.answer))
}
