//! Clients that change their address and keep their allocation. RFC 8016.
//!
//! A ticket names the worker that has the allocation. The kernel may bring a client's new address
//! to another worker: that one finds out who asks, passes the Refresh on to the owner, and from
//! then on all that comes from there (a redirect), so that the owner serves the client as if the
//! kernel had chosen it. It answers by its own socket of the same listener.

use super::answer::Success;
use super::credentials::User;
use super::limiter::prefix;
use super::request::{Origin, Request};
use super::table::Slot;
use super::tickets::{MobileId, Ticket};
use super::{Client, Server};
use crate::wire::{ErrorCode, Method, TransactionId};
use crate::{Config, Forwarded, Verdict, WorkerId};
use ahash::RandomState;
use heliograph_base::Time;
use std::collections::HashMap;
use std::time::Duration;

/// What an allocation with tickets remembers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mobility {
    pub(super) id: MobileId,
    /// The number of the last ticket.
    number: u32,
    /// The last move. It is under way until data comes from the new address.
    pub(super) last: Option<Move>,
}

/// A client came from a new address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) to: Client,
    /// The number of the ticket it showed.
    shown: u32,
    transaction: TransactionId,
}

impl Mobility {
    pub(super) const fn new(id: MobileId) -> Self {
        Self { id, number: 0, last: None }
    }

    /// Whether the client, when its data still goes to `at`, can move with this ticket. The one
    /// before the last is good until data comes from the new address: the answer with the last may
    /// be lost.
    fn accepts(&self, number: u32, at: Client) -> bool {
        let under_way = self.last.filter(|last| last.to != at);
        number == self.number || under_way.is_some_and(|last| last.shown == number)
    }

    /// Whether the last move was made by this request, or by one before it that had no answer.
    fn is_repeated(&self, request: &Request<'_>, number: u32, at: Client) -> bool {
        self.last.is_some_and(|last| {
            last.to == request.client
                && last.shown == number
                && (last.to != at || last.transaction == request.transaction())
        })
    }
}

/// What a Refresh means, and how its client comes to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refreshed {
    pub(super) first: Slot,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// From the address it has.
    Same,
    /// From a new one, with the ticket of this number.
    Moving(u32),
    /// It moved, and didn't get the answer.
    Moved,
}

impl Server {
    /// Whether an Allocate asks for a ticket: by an empty one. One with bytes is 400. RFC 8016
    /// §3.1.
    pub(super) fn wants_ticket(&self, request: &Request<'_>) -> Result<bool, ErrorCode> {
        match request.fields.mobility_ticket {
            None => Ok(false),
            Some([]) => self.may_move(request).map(|()| true),
            Some(_) => Err(ErrorCode::BadRequest),
        }
    }

    /// RFC 8016 §3.4: 405 where mobility can't be. A stream ends with the address of its client,
    /// and belongs to one worker.
    fn may_move(&self, request: &Request<'_>) -> Result<(), ErrorCode> {
        let is_stream = self.listener(request.client.listener).transport.is_stream();
        if is_stream || !self.config.mobility { Err(ErrorCode::MobilityForbidden) } else { Ok(()) }
    }

    /// Lets the client of a new allocation take it along.
    pub(super) fn begin_mobility(&mut self, first: Slot) -> Ticket {
        self.mobile_allocations += 1;
        let mobility = Mobility::new(MobileId(self.mobile_allocations));
        self.table.set_mobile(first, mobility);
        self.ticket(&mobility)
    }

    const fn ticket(&self, mobility: &Mobility) -> Ticket {
        Ticket { worker: self.worker, allocation: mobility.id, number: mobility.number }
    }

    /// The allocation that a Refresh means: that of its ticket, else that of its address. RFC 8016
    /// §3.2.2.
    pub(super) fn refreshed(
        &self,
        request: &Request<'_>,
        user: User<'_>,
    ) -> Result<Refreshed, ErrorCode> {
        let Some(sealed) = request.fields.mobility_ticket else {
            let first = self.own_allocation(request, user)?;
            return Ok(Refreshed { first, way: Way::Same });
        };
        self.may_move(request)?;
        let ticket = self.sealer.open(sealed).ok_or(ErrorCode::BadRequest)?;
        let meant = (ticket.worker == self.worker).then(|| self.table.mobile(ticket.allocation));
        let first = meant.flatten().ok_or(ErrorCode::AllocationMismatch)?;
        let allocation = self.table.get(first);
        // Only the user that made the allocation moves it.
        if *allocation.record.user != *user.name {
            return Err(ErrorCode::WrongCredentials);
        }
        let mobility = allocation.record.mobility.as_ref().expect("it was found by its ticket");
        let way = match self.table.of_client(request.client) {
            None if mobility.accepts(ticket.number, allocation.client) => {
                Way::Moving(ticket.number)
            }
            Some(known)
                if known == first
                    && mobility.is_repeated(request, ticket.number, allocation.client) =>
            {
                Way::Moved
            }
            // A ticket from where the client was already is an error of its own.
            Some(known) if known == first => return Err(ErrorCode::BadRequest),
            None | Some(_) => return Err(ErrorCode::AllocationMismatch),
        };
        Ok(Refreshed { first, way })
    }

    /// Completes a Refresh that did all else. The new address leads to the allocation from now on,
    /// beside the old one, and the client gets another ticket. RFC 8016 §3.2.2.
    pub(super) fn moved(
        &mut self,
        request: &Request<'_>,
        refreshed: Refreshed,
        lifetime_s: u32,
    ) -> Success {
        let Refreshed { first, way } = refreshed;
        match way {
            Way::Same => return Success::Refreshed { lifetime_s, ticket: None },
            Way::Moved => {}
            Way::Moving(shown) => {
                let (to, transaction) = (request.client, request.transaction());
                self.table.begin_move(first, Move { to, shown, transaction });
                self.counters.allocations_moved += 1;
            }
        }
        let mobility = self.table.get(first).record.mobility.as_deref();
        let ticket = mobility.map(|mobility| self.ticket(mobility));
        Success::Refreshed { lifetime_s, ticket }
    }

    /// Takes note of data from `client`: a Send indication or ChannelData from the new address ends
    /// the old one. Until then data goes to the old one. RFC 8016 §3.2.2.
    pub(super) fn note_data_from(&mut self, client: Client, first: Slot) {
        if self.table.get(first).client == client {
            return;
        }
        self.table.end_move(first);
        let to = prefix(self.table.get(first).client.address.ip());
        for slot in self.table.halves(first) {
            let from = std::mem::replace(&mut self.table.get_mut(slot).record.source, to);
            self.ports.usage.move_source(from, to);
        }
    }

    /// Passes a Refresh on to the worker whose ticket it shows, and redirects its client there. The
    /// client has shown who it is.
    ///
    /// # Errors
    /// 508 if there are too many redirects.
    pub(super) fn forward_move<'a>(
        &mut self,
        request: &Request<'a>,
    ) -> Result<Option<Verdict<'a>>, ErrorCode> {
        let Request { now, client, method, fields, .. } = request;
        let is_ours = self.table.of_client(*client).is_some()
            || self.may_move(request).is_err()
            || !fields.unknown.kinds().is_empty();
        let (false, Method::Refresh, Origin::Kernel) = (is_ours, method, request.origin) else {
            return Ok(None);
        };
        let ticket = fields.mobility_ticket.and_then(|sealed| self.sealer.open(sealed));
        let Some(worker) = ticket.map(|ticket| ticket.worker).filter(|it| *it != self.worker)
        else {
            return Ok(None);
        };
        if !self.redirects.put(now.time, *client, worker) {
            return Err(ErrorCode::InsufficientCapacity);
        }
        Ok(Some(self.forward(worker, *client, request.message.bytes(), true)))
    }

    /// Passes on what comes from a client that another worker serves.
    pub(super) fn redirect<'a>(
        &mut self,
        now: Time,
        client: Client,
        bytes: &'a [u8],
    ) -> Option<Verdict<'a>> {
        let worker = self.redirects.get(now, client)?;
        Some(self.forward(worker, client, bytes, false))
    }

    fn forward<'a>(
        &mut self,
        worker: WorkerId,
        client: Client,
        bytes: &'a [u8],
        is_vouched_for: bool,
    ) -> Verdict<'a> {
        self.counters.forwarded += 1;
        let Client { listener, address: from } = client;
        Verdict::Forward { worker, forwarded: Forwarded { listener, from, bytes, is_vouched_for } }
    }
}

/// Which clients that come to this worker another one serves.
///
/// Only who has shown a name, its password and a genuine ticket is put there; the kernel chose us
/// for the new address, and nobody can tell it otherwise.
#[derive(Debug)]
pub(super) struct Redirects {
    clients: HashMap<Client, Redirect, RandomState>,
    max: usize,
    /// A client that was silent for so long has no allocation any more.
    lifetime: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Redirect {
    worker: WorkerId,
    until: Time,
}

impl Redirects {
    pub(super) fn new(config: &Config, hasher: &RandomState) -> Self {
        Self {
            clients: HashMap::with_hasher(hasher.clone()),
            max: config.redirects_max,
            lifetime: config.lifetime_max,
        }
    }

    /// Whether there was room.
    fn put(&mut self, now: Time, client: Client, worker: WorkerId) -> bool {
        if self.clients.len() >= self.max {
            self.clients.retain(|_, redirect| now < redirect.until);
        }
        let has_room = self.clients.len() < self.max;
        if has_room {
            self.clients.insert(client, Redirect { worker, until: now + self.lifetime });
        }
        has_room
    }

    /// The worker that serves `client`. Costs nothing while there are no redirects.
    fn get(&mut self, now: Time, client: Client) -> Option<WorkerId> {
        if self.clients.is_empty() {
            return None;
        }
        let redirect = self.clients.get_mut(&client)?;
        if now >= redirect.until {
            self.clients.remove(&client);
            return None;
        }
        redirect.until = now + self.lifetime;
        Some(redirect.worker)
    }
}

impl super::table::Table {
    /// Begins a move, in place of one that is under way; both addresses lead to the allocation.
    fn begin_move(&mut self, first: Slot, to: Move) {
        let allocation = self.get_mut(first);
        let at = allocation.client;
        let mobility = allocation.record.mobility.as_mut().expect("it was found by its ticket");
        mobility.number += 1;
        let before = mobility.last.replace(to).filter(|before| before.to != at);
        self.set_alias(first, before.map(|before| before.to), to.to);
    }

    /// Ends the move that is under way: all is done by the new address.
    fn end_move(&mut self, first: Slot) {
        let last = self.get(first).record.mobility.as_ref().and_then(|mobility| mobility.last);
        if let Some(last) = last {
            self.set_client(first, last.to);
        }
    }
}
