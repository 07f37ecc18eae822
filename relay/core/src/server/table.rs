//! The allocations of a worker, and the ways to find one.

use super::Client;
use super::allocation::Allocation;
use super::mobility::Mobility;
use super::rates::Rates;
use super::tickets::MobileId;
use crate::{Config, PortId};
use ahash::RandomState;
use heliograph_base::Time;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;

/// The place of an allocation in the table; good while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

/// Which way a packet goes through an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    FromClient,
    ToClient,
}

/// All allocations: one hash lookup from a client, none from a port.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Allocation>>,
    free: Vec<Slot>,
    by_client: HashMap<Client, Slot, RandomState>,
    by_relayed: HashMap<SocketAddr, Slot, RandomState>,
    by_port: Vec<Option<Slot>>,
    /// The allocations, or first halves, that have tickets.
    mobile: HashMap<MobileId, Slot, RandomState>,
    pub(super) rates: Rates,
    /// When to look at an allocation: never after its end. A refresh leaves the earlier entry
    /// there.
    deadlines: BinaryHeap<Reverse<(Time, PortId)>>,
}

impl Table {
    pub(super) fn new(config: &Config, hasher: &RandomState) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_client: HashMap::with_hasher(hasher.clone()),
            by_relayed: HashMap::with_hasher(hasher.clone()),
            by_port: Vec::new(),
            mobile: HashMap::with_hasher(hasher.clone()),
            rates: Rates::new(config, hasher),
            deadlines: BinaryHeap::new(),
        }
    }

    /// How many allocations there are; a dual one counts twice.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a packet from the rates of the user of an allocation, and counts it; `false` if it
    /// goes over them.
    pub(super) fn take_packet(&mut self, now: Time, slot: Slot, way: Way, payload: &[u8]) -> bool {
        let Self { slots, rates, .. } = self;
        let allocation = slots[slot.0 as usize].as_mut();
        let allocation = allocation.expect("a slot is good while its allocation lives");
        let fits = rates.take_packet(now, allocation.user_id, payload.len());
        if fits {
            match way {
                Way::FromClient => allocation.from_client.count(payload),
                Way::ToClient => allocation.to_client.count(payload),
            }
        }
        fits
    }

    /// The same for new peers.
    pub(super) fn take_peers(&mut self, now: Time, slot: Slot, count: usize) -> bool {
        let user = self.get(slot).user_id;
        self.rates.take_peers(now, user, count)
    }

    pub(super) fn of_client(&self, client: Client) -> Option<Slot> {
        self.by_client.get(&client).copied()
    }

    /// The first half and then the second one, if there is one.
    pub(super) fn halves(&self, slot: Slot) -> impl Iterator<Item = Slot> + use<> {
        [Some(slot), self.get(slot).sibling].into_iter().flatten()
    }

    pub(super) fn of_relayed(&self, relayed: SocketAddr) -> Option<Slot> {
        self.by_relayed.get(&relayed).copied()
    }

    pub(super) fn of_port(&self, port: PortId) -> Option<Slot> {
        self.by_port.get(port.0 as usize).copied().flatten()
    }

    /// Every allocation; the halves of a dual one are two.
    pub(super) fn all(&self) -> impl Iterator<Item = (Slot, &Allocation)> {
        let slots = (0..).map(Slot).zip(&self.slots);
        slots.filter_map(|(slot, allocation)| Some((slot, allocation.as_ref()?)))
    }

    pub(super) fn get(&self, slot: Slot) -> &Allocation {
        self.slots[slot.0 as usize].as_ref().expect("a slot is good while its allocation lives")
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Allocation {
        self.slots[slot.0 as usize].as_mut().expect("a slot is good while its allocation lives")
    }

    /// Adds an allocation; if its client has one, it becomes that one's other half.
    pub(super) fn insert(&mut self, mut allocation: Allocation) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).expect("fewer allocations than 2^32"))
        });
        let port = allocation.port.0 as usize;
        if self.by_port.len() <= port {
            self.by_port.resize(port + 1, None);
        }
        self.by_port[port] = Some(slot);
        let first = *self.by_client.entry(allocation.client).or_insert(slot);
        if first != slot {
            self.get_mut(first).sibling = Some(slot);
            allocation.sibling = Some(first);
        }
        // The port of a TCP allocation may have the number of another one's UDP port.
        if allocation.connections.is_none() {
            self.by_relayed.insert(allocation.relayed, slot);
        }
        self.deadlines.push(Reverse((allocation.record.expires, allocation.port)));
        self.slots[slot.0 as usize] = Some(allocation);
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Allocation {
        let mut allocation =
            self.slots[slot.0 as usize].take().expect("a slot is good while its allocation lives");
        self.free.push(slot);
        self.by_port[allocation.port.0 as usize] = None;
        let alias = allocation.record.mobility.as_ref().and_then(|it| it.last).map(|last| last.to);
        for client in [Some(allocation.client), alias].into_iter().flatten() {
            match allocation.sibling {
                Some(sibling) => self.by_client.insert(client, sibling),
                None => self.by_client.remove(&client),
            };
        }
        if let Some(sibling) = allocation.sibling {
            self.get_mut(sibling).sibling = None;
        }
        match (allocation.record.mobility.take(), allocation.sibling) {
            (Some(mobility), Some(sibling)) => self.set_mobile(sibling, *mobility),
            (Some(mobility), None) => {
                self.mobile.remove(&mobility.id);
            }
            (None, _) => {}
        }
        if allocation.connections.is_none() {
            self.by_relayed.remove(&allocation.relayed);
        }
        self.rates.end(allocation.user_id);
        if self.len() == 0 {
            self.give_memory_back();
        }
        self.forget_old_deadlines();
        allocation
    }

    /// Gives back what the many took that there were.
    fn give_memory_back(&mut self) {
        self.slots = Vec::new();
        self.free = Vec::new();
        self.by_port = Vec::new();
        self.by_client.shrink_to_fit();
        self.by_relayed.shrink_to_fit();
        self.mobile.shrink_to_fit();
    }

    /// Gives an allocation tickets.
    pub(super) fn set_mobile(&mut self, first: Slot, mobility: Mobility) {
        self.mobile.insert(mobility.id, first);
        self.get_mut(first).record.mobility = Some(Box::new(mobility));
    }

    /// The allocation with these tickets.
    pub(super) fn mobile(&self, id: MobileId) -> Option<Slot> {
        self.mobile.get(&id).copied()
    }

    /// Makes one more address of its client lead to an allocation, instead of the one before.
    pub(super) fn set_alias(&mut self, first: Slot, before: Option<Client>, alias: Client) {
        if let Some(before) = before {
            self.by_client.remove(&before);
        }
        self.by_client.insert(alias, first);
    }

    /// Moves an allocation to the address that led to it beside the old one.
    pub(super) fn set_client(&mut self, first: Slot, client: Client) {
        let old = self.get(first).client;
        self.by_client.remove(&old);
        for slot in self.halves(first) {
            self.get_mut(slot).client = client;
        }
    }

    /// Moves the end of an allocation.
    pub(super) fn set_expires(&mut self, slot: Slot, expires: Time) {
        let allocation = self.get_mut(slot);
        let is_sooner = expires < std::mem::replace(&mut allocation.record.expires, expires);
        let port = allocation.port;
        if is_sooner {
            self.deadlines.push(Reverse((expires, port)));
            self.forget_old_deadlines();
        }
    }

    /// Keeps the deadlines in proportion to the live allocations, although ended and shortened ones
    /// leave theirs behind.
    fn forget_old_deadlines(&mut self) {
        if self.deadlines.len() <= 2 * self.len() + DEADLINES_SPARE {
            return;
        }
        let ports = self.deadlines.iter().map(|Reverse((_, port))| *port);
        let live =
            ports.filter_map(|port| Some((self.get(self.of_port(port)?).record.expires, port)));
        let mut deadlines: Vec<_> = live.map(Reverse).collect();
        deadlines.sort_unstable();
        deadlines.dedup();
        self.deadlines = deadlines.into();
    }

    /// When [`Self::pop_expired`] next has something to look at.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.peek().map(|Reverse((time, _))| *time)
    }

    /// An allocation whose lifetime is over; call until there is none.
    pub(super) fn pop_expired(&mut self, now: Time) -> Option<Slot> {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Reverse((_, port)) = self.deadlines.pop()?;
            let Some(slot) = self.of_port(port) else {
                continue;
            };
            let expires = self.get(slot).record.expires;
            if expires <= now {
                return Some(slot);
            }
            self.deadlines.push(Reverse((expires, port)));
        }
        None
    }
}

/// How many old deadlines may stay however few allocations live.
const DEADLINES_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::allocation::Record;
    use crate::server::answer::Allocated;
    use crate::server::credentials::UserKind;
    use crate::server::peers::Peers;
    use crate::wire::{Key, TransactionId};
    use crate::{Flow, ListenerId};
    use std::time::Duration;

    const fn second(second: u64) -> Time {
        Time::after_start(Duration::from_secs(second))
    }

    fn insert(table: &mut Table, port: u16, expires: Time) {
        let address = SocketAddr::new([192, 0, 2, 1].into(), port);
        let now = Time::START;
        let user_id = table.rates.begin(now, "alice", UserKind::Static);
        table.insert(Allocation {
            client: Client { listener: ListenerId(0), address },
            sibling: None,
            port: PortId(port.into()),
            relayed: address,
            user_id,
            peers: Peers::default(),
            from_client: Flow::default(),
            to_client: Flow::default(),
            connections: None,
            record: Box::new(Record {
                begun: now,
                expires,
                user: "alice".into(),
                user_kind: UserKind::Static,
                source: 0,
                key: Key::long_term("", "", ""),
                transaction: TransactionId([0; 12]),
                answer: Allocated::one(address, 0),
                wants_icmp: false,
                mobility: None,
            }),
        });
    }

    #[test]
    fn old_deadlines_are_forgotten_and_live_ones_kept() {
        let mut table = Table::new(&Config::default(), &RandomState::with_seeds(1, 2, 3, 4));
        for port in 0..100 {
            insert(&mut table, port, second(1000 + u64::from(port)));
        }
        for round in 0..1000 {
            insert(&mut table, 5000, second(2000 + round));
            let slot = table.of_port(PortId(5000)).unwrap();
            table.set_expires(slot, second(1900));
            table.remove(slot);
        }
        assert!(table.deadlines.len() <= 2 * 101 + DEADLINES_SPARE, "{}", table.deadlines.len());
        for port in 0..100 {
            let expired = table.pop_expired(second(1000 + port)).unwrap();
            assert_eq!(table.remove(expired).port, PortId(port as u32));
            assert_eq!(table.pop_expired(second(1000 + port)), None);
        }
        assert_eq!(table.len(), 0);
    }
}
