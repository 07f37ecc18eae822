//! TCP allocations: connections with peers, and clients that come for them. RFC 6062.

use super::{Program, WORKERS};
use crate::clients::{is_stream, place, worker_of};
use crate::input::Input;
use crate::model::{Cause, State};
use crate::read::encoded;
use crate::world::Outcome;
use relay_core::PortId;
use relay_core::wire::{ConnectionId, Method, attribute};

impl Program {
    pub(super) fn connect(&mut self, who: usize, input: &mut Input<'_>) {
        let peer = encoded(self.peer(input), &self.next_transaction());
        self.request(who, Method::Connect, &[(attribute::XOR_PEER_ADDRESS, &peer)], input);
    }

    /// The shell made a connection, or failed, maybe late.
    pub(super) fn peer_connected(&mut self, input: &mut Input<'_>) {
        let Some((id, _)) = self.connection(input) else {
            return;
        };
        let is_connected = input.byte().is_multiple_of(2);
        let outcome = self.world.peer_connected(id, is_connected);
        self.note_time();
        let told = match &outcome {
            Outcome::Send { via, to, bytes } => Some((*via, *to, &bytes[..])),
            Outcome::Nothing => None,
        };
        self.model.peer_connected(self.world.elapsed, id, is_connected, told);
    }

    pub(super) fn peer_accepted(&mut self, input: &mut Input<'_>) {
        let (ports, choice) = (self.model.ports(true), usize::from(input.byte()));
        let port = match ports.len() {
            0 => PortId(u32::try_from(choice % self.world.ids()).expect("a byte")),
            live => ports[choice % live],
        };
        let peer = self.peer(input);
        let accepted = self.world.peer_accepted(port, peer);
        self.note_time();
        let now = self.world.elapsed;
        assert_eq!(accepted.is_ok(), self.model.may_accept(now, port, peer), "{peer}");
        if let Ok((id, Outcome::Send { via, to, bytes })) = accepted {
            self.model.peer_accepted(now, (port, peer), id, (via, to, &bytes));
        }
    }

    pub(super) fn bind_connection(&mut self, who: usize, input: &mut Input<'_>) {
        let id = self.connection(input).map(|(id, _)| id.value()).unwrap_or_default();
        self.request(who, Method::ConnectionBind, &[(attribute::CONNECTION_ID, &id)], input);
    }

    /// A peer's connection ends, which the shell knows only once it is made.
    pub(super) fn peer_closed(&mut self, input: &mut Input<'_>) {
        match self.connection(input) {
            None | Some((_, State::Connecting(_))) => {}
            Some((id, State::Unbound(_) | State::Bound(_))) => self.close_peer(id),
        }
    }

    /// A client's stream ends, and with it the connection that it was joined to.
    pub(super) fn client_gone(&mut self, who: usize) {
        let place = place(who);
        if !is_stream(place) {
            return;
        }
        self.world.client_gone(worker_of(place), place);
        let events = self.world.events();
        self.model.note(self.world.elapsed, Cause::Gone(place), &events);
        assert_eq!(self.model.ports_of(worker_of(place), place), [], "it outlives its stream");
        for (id, state) in self.model.connections() {
            if state == State::Bound(place) {
                self.close_peer(id);
            }
        }
    }

    fn close_peer(&mut self, id: ConnectionId) {
        self.world.peer_closed(id);
        self.note_time();
        self.model.peer_closed(id);
    }

    /// One of the connections, or one that isn't there.
    fn connection(&self, input: &mut Input<'_>) -> Option<(ConnectionId, State)> {
        let (connections, choice) = (self.model.connections(), usize::from(input.byte()));
        connections.get(choice.checked_rem(connections.len())?).copied()
    }
}

/// The worker that a shell gives a ConnectionBind to.
pub(super) fn worker_to_bind(message: &[u8]) -> Option<usize> {
    let worker = ConnectionId::to_bind(message)?.worker().0;
    (worker < WORKERS).then_some(worker.into())
}
