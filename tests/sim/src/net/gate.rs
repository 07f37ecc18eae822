//! A router that translates: what `nat` describes, done packet by packet.

use crate::Dice;
use crate::nat::{Egress, Filtering, Gate, Mapping, Nat};
use heliograph_base::Time;
use std::net::{IpAddr, SocketAddr};

/// A router with its mappings.
#[derive(Debug)]
pub(super) struct Router {
    gate: Gate,
    outside: IpAddr,
    mappings: Vec<Entry>,
    dice: Dice,
}

/// An outside address, and whose it is.
#[derive(Debug)]
struct Entry {
    inside: SocketAddr,
    /// The first destination, as far as the mapping depends on it.
    toward: SocketAddr,
    outside: SocketAddr,
    used: Time,
    /// Everybody it was sent to.
    sent_to: Vec<SocketAddr>,
}

impl Router {
    pub(super) const fn new(gate: Gate, outside: IpAddr, dice: Dice) -> Self {
        Self { gate, outside, mappings: Vec::new(), dice }
    }

    pub(super) const fn outside(&self) -> IpAddr {
        self.outside
    }

    pub(super) const fn has_hairpin(&self) -> bool {
        self.gate.nat.hairpin
    }

    /// A datagram leaves: the address that it has outside, unless it isn't let out.
    pub(super) fn outbound(
        &mut self,
        now: Time,
        inside: SocketAddr,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        if self.gate.egress != Egress::All {
            return None;
        }
        self.forget(now);
        let by = if inside.is_ipv4() { self.gate.nat.mapping.into() } else { By::Nothing };
        let is_it = |entry: &Entry| entry.inside == inside && is_same(by, entry.toward, to);
        let place = self.mappings.iter().position(is_it).unwrap_or_else(|| {
            let outside = if inside.is_ipv4() { self.free_port(inside.port()) } else { inside };
            let sent_to = Vec::new();
            self.mappings.push(Entry { inside, toward: to, outside, used: now, sent_to });
            self.mappings.len() - 1
        });
        let entry = &mut self.mappings[place];
        entry.used = now;
        if !entry.sent_to.contains(&to) {
            entry.sent_to.push(to);
        }
        Some(entry.outside)
    }

    /// A datagram comes in to an outside address: the address that it is for inside, unless it is
    /// kept out.
    pub(super) fn inbound(
        &mut self,
        now: Time,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        self.forget(now);
        let nat = self.gate.nat;
        let entry = self.mappings.iter().find(|entry| entry.outside == to)?;
        let may_come = entry.sent_to.iter().any(|peer| is_same(nat.filtering.into(), *peer, from));
        may_come.then_some(entry.inside)
    }

    /// Forgets all mappings, as when the power is gone.
    pub(super) fn restart(&mut self) {
        self.mappings.clear();
    }

    fn forget(&mut self, now: Time) {
        let Nat { timeout, .. } = self.gate.nat;
        self.mappings.retain(|entry| now < entry.used + timeout);
    }

    /// The port of inside if it is free and ports stay what they are, else any other.
    fn free_port(&mut self, wanted: u16) -> SocketAddr {
        let keeps_ports = self.gate.nat.mapping == Mapping::EndpointIndependent;
        let is_taken = |outside| self.mappings.iter().any(|it| it.outside == outside);
        let mut outside = SocketAddr::new(self.outside, wanted);
        while !keeps_ports && outside.port() == wanted || is_taken(outside) {
            let port = FIRST_PORT + self.dice.below(u64::from(u16::MAX - FIRST_PORT)) as u16;
            outside.set_port(port);
        }
        outside
    }
}

/// Random ports are from here on.
const FIRST_PORT: u16 = 1024;

/// By how much of an address two destinations are told apart.
#[derive(Clone, Copy)]
enum By {
    Nothing,
    Address,
    AddressAndPort,
}

impl From<Mapping> for By {
    fn from(mapping: Mapping) -> Self {
        match mapping {
            Mapping::EndpointIndependent => Self::Nothing,
            Mapping::AddressDependent => Self::Address,
            Mapping::AddressAndPortDependent => Self::AddressAndPort,
        }
    }
}

impl From<Filtering> for By {
    fn from(filtering: Filtering) -> Self {
        match filtering {
            Filtering::EndpointIndependent => Self::Nothing,
            Filtering::AddressDependent => Self::Address,
            Filtering::AddressAndPortDependent => Self::AddressAndPort,
        }
    }
}

fn is_same(by: By, one: SocketAddr, other: SocketAddr) -> bool {
    match by {
        By::Nothing => true,
        By::Address => one.ip() == other.ip(),
        By::AddressAndPort => one == other,
    }
}
