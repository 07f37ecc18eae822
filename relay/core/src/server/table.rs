//! The allocations of a worker, and the ways to find one.

use super::Client;
use super::allocation::Allocation;
use super::credentials::{UserKind, quota_name};
use crate::PortId;
use ahash::RandomState;
use heliograph_base::Time;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;

/// The place of an allocation in the table; good while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

/// All allocations: one hash lookup from a client, none from a port.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Allocation>>,
    free: Vec<Slot>,
    by_client: HashMap<Client, Slot, RandomState>,
    by_relayed: HashMap<SocketAddr, Slot, RandomState>,
    by_port: Vec<Option<Slot>>,
    /// Live allocations by whose they are.
    quotas: HashMap<Box<str>, usize, RandomState>,
    /// When to look at an allocation: never after its end. A refresh leaves the earlier entry
    /// there.
    deadlines: BinaryHeap<Reverse<(Time, PortId)>>,
}

impl Table {
    pub(super) fn new(hasher: &RandomState) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_client: HashMap::with_hasher(hasher.clone()),
            by_relayed: HashMap::with_hasher(hasher.clone()),
            by_port: Vec::new(),
            quotas: HashMap::with_hasher(hasher.clone()),
            deadlines: BinaryHeap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// How many allocations count together with those of this user.
    pub(super) fn quota_used(&self, user: &str, kind: UserKind) -> usize {
        self.quotas
            .get(quota_name(user, kind))
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn of_client(&self, client: Client) -> Option<Slot> {
        self.by_client.get(&client).copied()
    }

    pub(super) fn of_relayed(&self, relayed: SocketAddr) -> Option<Slot> {
        self.by_relayed.get(&relayed).copied()
    }

    pub(super) fn of_port(&self, port: PortId) -> Option<Slot> {
        self.by_port.get(port.0 as usize).copied().flatten()
    }

    pub(super) fn get(&self, slot: Slot) -> &Allocation {
        self.slots[slot.0 as usize]
            .as_ref()
            .expect("a slot is good while its allocation lives")
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Allocation {
        self.slots[slot.0 as usize]
            .as_mut()
            .expect("a slot is good while its allocation lives")
    }

    pub(super) fn insert(&mut self, allocation: Allocation) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).expect("fewer allocations than 2^32"))
        });
        let port = allocation.port.0 as usize;
        if self.by_port.len() <= port {
            self.by_port.resize(port + 1, None);
        }
        self.by_port[port] = Some(slot);
        self.by_client.insert(allocation.client, slot);
        self.by_relayed.insert(allocation.relayed, slot);
        let quota = quota_name(&allocation.user, allocation.user_kind);
        *self.quotas.entry(quota.into()).or_default() += 1;
        self.deadlines
            .push(Reverse((allocation.expires, allocation.port)));
        self.slots[slot.0 as usize] = Some(allocation);
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Allocation {
        let allocation = self.slots[slot.0 as usize]
            .take()
            .expect("a slot is good while its allocation lives");
        self.free.push(slot);
        self.by_port[allocation.port.0 as usize] = None;
        self.by_client.remove(&allocation.client);
        self.by_relayed.remove(&allocation.relayed);
        self.release_quota(quota_name(&allocation.user, allocation.user_kind));
        self.forget_old_deadlines();
        allocation
    }

    fn release_quota(&mut self, quota: &str) {
        let used = self
            .quotas
            .get_mut(quota)
            .expect("a live allocation is counted");
        *used -= 1;
        if *used == 0 {
            self.quotas.remove(quota);
        }
    }

    /// Keeps the deadlines in proportion to the live allocations, although an ended one leaves its
    /// own behind.
    fn forget_old_deadlines(&mut self) {
        if self.deadlines.len() > 2 * self.len() + DEADLINES_SPARE {
            let slots = self.slots.iter().flatten();
            self.deadlines = slots
                .map(|allocation| Reverse((allocation.expires, allocation.port)))
                .collect();
        }
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
            let expires = self.get(slot).expires;
            if expires <= now {
                return Some(slot);
            }
            self.deadlines.push(Reverse((expires, port)));
        }
        None
    }
}

/// How many deadlines of ended allocations may stay however few live.
const DEADLINES_SPARE: usize = 64;
