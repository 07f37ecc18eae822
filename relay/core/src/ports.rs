//! Which worker owns which relayed transport address: how an allocation finds another one of the
//! same relay.

use crate::WorkerId;
use crate::reservations::Reservations;
use crate::server::Sealer;
use crate::usage::Usage;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// The live relayed transport addresses of all workers of one relay.
///
/// Read once for each packet whose destination has one of the relay's own addresses, written when
/// an allocation begins or ends. No lock: a reader that comes too early or too late sees what a
/// packet a moment earlier or later would.
#[derive(Debug)]
pub struct RelayedPorts {
    addresses: Vec<(IpAddr, Box<[AtomicU8]>)>,
    /// Behind a lock of their own, that no packet takes.
    pub(crate) reservations: Reservations,
    /// The same.
    pub(crate) usage: Usage,
    /// What a ticket is sealed with, so that the other workers know whose it is.
    sealer: OnceLock<Sealer>,
}

const FREE: u8 = u8::MAX;

impl RelayedPorts {
    /// The most workers that can share a table.
    pub const WORKERS_MAX: usize = FREE as usize;

    /// An empty table for relayed transport addresses on `addresses`, as clients are told them. 64
    /// KiB an address.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut table = Self {
            addresses: Vec::new(),
            reservations: Reservations::default(),
            usage: Usage::default(),
            sealer: OnceLock::new(),
        };
        for address in addresses {
            if !table.is_own(address) {
                let ports = (0..=u16::MAX).map(|_| AtomicU8::new(FREE)).collect();
                table.addresses.push((address, ports));
            }
        }
        table
    }

    /// Whether allocations can have `address`.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// The worker with the live allocation whose relayed transport address is `relayed`.
    #[must_use]
    pub fn owner(&self, relayed: SocketAddr) -> Option<WorkerId> {
        match self.slot(relayed)?.load(Ordering::Acquire) {
            FREE => None,
            worker => Some(WorkerId(worker)),
        }
    }

    /// Whether allocations can have an address that `is_wanted`.
    pub(crate) fn any(&self, is_wanted: impl Fn(&IpAddr) -> bool) -> bool {
        self.addresses.iter().any(|(own, _)| is_wanted(own))
    }

    /// What all workers seal tickets with: made of the randomness of the one that is there first.
    pub(crate) fn sealer(&self, seed: &[u8; 32]) -> Sealer {
        self.sealer.get_or_init(|| Sealer::new(seed)).clone()
    }

    pub(crate) fn take(&self, relayed: SocketAddr, worker: WorkerId) {
        self.set(relayed, worker.0);
    }

    pub(crate) fn free(&self, relayed: SocketAddr) {
        self.set(relayed, FREE);
    }

    fn set(&self, relayed: SocketAddr, value: u8) {
        if let Some(slot) = self.slot(relayed) {
            slot.store(value, Ordering::Release);
        }
    }

    fn slot(&self, relayed: SocketAddr) -> Option<&AtomicU8> {
        let (_, ports) = self.addresses.iter().find(|(own, _)| *own == relayed.ip())?;
        Some(&ports[usize::from(relayed.port())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_owner_from_take_to_free() {
        let ports = RelayedPorts::new(["192.0.2.1".parse().unwrap()]);
        let relayed: SocketAddr = "192.0.2.1:50000".parse().unwrap();
        assert_eq!(ports.owner(relayed), None);
        ports.take(relayed, WorkerId(3));
        assert_eq!(ports.owner(relayed), Some(WorkerId(3)));
        assert_eq!(ports.owner("192.0.2.1:50001".parse().unwrap()), None);
        ports.free(relayed);
        assert_eq!(ports.owner(relayed), None);
    }

    #[test]
    fn an_address_of_somebody_else_has_no_owner() {
        let ports = RelayedPorts::new(["192.0.2.1".parse().unwrap()]);
        assert!(!ports.is_own("192.0.2.2".parse().unwrap()));
        ports.take("192.0.2.2:50000".parse().unwrap(), WorkerId(0));
        assert_eq!(ports.owner("192.0.2.2:50000".parse().unwrap()), None);
    }
}
