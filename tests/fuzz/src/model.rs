//! What clients may do, kept the naive way beside the relay: ports they have, peers they may reach.

use relay_core::{At, Effect, PortId};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// RFC 8656 §9: "The permission lifetime MUST be 300 seconds".
const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

/// Where a client is: its listener's number and its address.
pub(crate) type Place = (u16, SocketAddr);

#[derive(Debug, Default)]
pub(crate) struct Model {
    owners: HashMap<PortId, Place>,
    ever_taken: HashSet<PortId>,
    /// When a permission was last granted by a client's request.
    granted: HashMap<(Place, IpAddr), Duration>,
}

impl Model {
    /// Takes note of what the relay wants done after a datagram of `client`, if it was a client's.
    pub(crate) fn note(&mut self, client: Option<Place>, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::PortTaken(port) => {
                    let client = client.expect("only a client's request takes a port");
                    assert!(self.ever_taken.insert(*port), "{port:?} was taken before");
                    self.owners.insert(*port, client);
                }
                Effect::ClosePort(port) => self.close(*port),
                Effect::PortReserved { port, .. } => {
                    client.expect("only a client's request reserves a port");
                    assert!(self.ever_taken.insert(*port), "{port:?} was taken before");
                }
                // It is taken next.
                Effect::PortAdopted { port, .. } => assert!(!self.ever_taken.contains(port)),
                Effect::ReservationEnded(_) => {}
                Effect::Connect { .. } | Effect::Splice { .. } | Effect::ClosePeer { .. } => {
                    panic!("no TCP port was handed in: {effect:?}");
                }
            }
        }
    }

    fn close(&mut self, port: PortId) {
        let Some(owner) = self.owners.remove(&port) else {
            // The half of a pair that the stock has no use for.
            assert!(self.ever_taken.insert(port), "{port:?} is closed and has no owner");
            return;
        };
        if !self.owners.values().any(|other| *other == owner) {
            self.granted.retain(|(client, _), _| *client != owner);
        }
    }

    pub(crate) fn grant(&mut self, now: Duration, client: Place, peer: IpAddr) {
        self.granted.insert((client, peer), now);
    }

    pub(crate) fn live(&self) -> usize {
        self.owners.len()
    }

    /// The ports that live, in order.
    pub(crate) fn ports(&self) -> Vec<PortId> {
        let mut ports: Vec<_> = self.owners.keys().copied().collect();
        ports.sort_unstable();
        ports
    }

    /// Whether data may go between the allocation with `port` and `peer`.
    pub(crate) fn may_talk(&self, now: Duration, port: PortId, peer: IpAddr) -> bool {
        let Some(owner) = self.owners.get(&port) else {
            return false;
        };
        let granted = self.granted.get(&(*owner, peer));
        granted.is_some_and(|at| now < *at + PERMISSION_LIFETIME)
    }

    /// Whether the socket and address are those of the client that owns `port`.
    pub(crate) fn is_owner(&self, port: PortId, via: At, to: SocketAddr) -> bool {
        let owner = self.owners.get(&port);
        owner.is_some_and(|(listener, address)| {
            matches!(via, At::Listener(at) if at.0 == *listener) && *address == to
        })
    }
}
