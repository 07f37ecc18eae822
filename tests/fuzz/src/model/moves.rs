//! Clients that take their allocation along: who may, and where they are. RFC 8016.

use super::{Asked, Model, Number, Place};
use crate::clients::{is_stream, source};
use crate::read::find;
use crate::world::Passage;
use relay_core::wire::{Message, Method, TransactionId, attribute};
use std::time::Duration;

/// The most clients of one worker that another one serves.
pub(crate) const REDIRECTS_MAX: usize = 2;

/// How long one that is silent stays there.
const REDIRECT_LIFETIME: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct LastMove {
    to: Place,
    shown: Vec<u8>,
    transaction: TransactionId,
}

#[derive(Debug)]
pub(super) struct Redirect {
    to: usize,
    until: Duration,
}

impl Model {
    pub(super) fn add_ticket(&mut self, number: Number, ticket: &[u8]) {
        let before = self.tickets.insert(ticket.to_vec(), number);
        assert_eq!(before, None, "a ticket is never given twice");
        self.ticket_list.push(ticket.to_vec());
        let allocation = self.allocations.get_mut(&number).expect("it is there");
        allocation.ticket = Some(ticket.to_vec());
    }

    /// The tickets that were given, oldest first.
    pub(crate) fn tickets(&self) -> &[Vec<u8>] {
        &self.ticket_list
    }

    /// Whether a client at `place` has this allocation already, or can take it along with `ticket`.
    pub(super) fn may_move(&self, number: Number, place: Place, ticket: &[u8]) -> bool {
        let allocation = &self.allocations[&number];
        if self.tickets.get(ticket) != Some(&number) || is_stream(place) {
            return false;
        }
        let last = allocation.last_move.as_ref();
        if let Some(known) = self.at(allocation.worker, place) {
            let is_repeated = last.is_some_and(|last| last.to == place && last.shown == ticket);
            return known == number && is_repeated;
        }
        let under_way = last.filter(|_| allocation.alias.is_some());
        allocation.ticket.as_deref() == Some(ticket)
            || under_way.is_some_and(|last| last.shown == ticket)
    }

    /// Takes note of a Refresh with a ticket that had success, and says which allocation it means.
    pub(super) fn moved(
        &mut self,
        worker: usize,
        asked: Asked<'_>,
        (ticket, request): (&[u8], &Message<'_>),
        answer: &Message<'_>,
    ) -> Number {
        let number = *self.tickets.get(ticket).expect("a ticket that somebody was given");
        assert!(self.allocations.contains_key(&number), "a ticket is of no use after the end");
        assert!(self.may_move(number, asked.place, ticket), "{asked:?} moves what it may not");
        let told = find(answer, attribute::MOBILITY_TICKET).expect("who moves gets a ticket");
        let allocation = self.allocations.get_mut(&number).expect("it is there");
        assert_eq!((allocation.user, allocation.worker), (asked.user, worker), "another user's");
        if allocation.has(worker, asked.place) {
            let last = allocation.last_move.as_ref().expect("it moved before");
            let is_repeated = allocation.alias.is_some();
            assert!(is_repeated || last.transaction == request.transaction());
            assert_eq!(allocation.ticket.as_deref(), Some(told), "the same again");
            return number;
        }
        let (to, transaction) = (asked.place, request.transaction());
        allocation.alias = Some(to);
        allocation.last_move = Some(LastMove { to, shown: ticket.to_vec(), transaction });
        self.moves += 1;
        self.add_ticket(number, told);
        number
    }

    /// Data came from `place`: all is done by it from now on.
    pub(super) fn end_move(&mut self, number: Number, place: Place) {
        let allocation = self.allocations.get_mut(&number).expect("it is there");
        if allocation.alias == Some(place) {
            allocation.place = place;
            allocation.alias = None;
            allocation.source = source(place.1.ip());
        }
    }

    /// Takes note of whether a worker passed a client's message on.
    pub(crate) fn note_passage(
        &mut self,
        now: Duration,
        (worker, asked): (usize, Asked<'_>),
        passage: &Passage,
    ) {
        let is_live = |redirect: &Redirect| now < redirect.until;
        let key = (worker, asked.place);
        let known = self.redirects.get(&key).filter(|it| is_live(it)).map(|it| it.to);
        match passage.forwarded {
            None => return assert_eq!(known, None, "{asked:?} has another worker"),
            Some(false) => assert_eq!(known, Some(passage.served), "{asked:?} moved nowhere"),
            Some(true) => {
                assert_eq!(known, None, "{asked:?} has a nonce of the other worker");
                let request = asked.request(Method::Refresh).expect("only Refresh moves");
                let ticket = find(&request, attribute::MOBILITY_TICKET).expect("with a ticket");
                assert!(self.tickets.contains_key(ticket) && !is_stream(asked.place));
                assert_eq!(self.at(worker, asked.place), None, "it has an allocation here");
            }
        }
        let redirect = Redirect { to: passage.served, until: now + REDIRECT_LIFETIME };
        self.redirects.insert(key, redirect);
        let of_worker = self.redirects.iter().filter(|((of, _), it)| *of == worker && is_live(it));
        assert!(of_worker.count() <= REDIRECTS_MAX);
    }
}
