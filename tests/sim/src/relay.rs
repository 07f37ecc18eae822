//! Clients behind NATs, peers and an attacker around a relay; and what the relay may do, by the
//! oracle at its door.

mod client;
mod mail;
mod node;
mod oracle;
mod stun;
mod world;

pub use client::{Ask, Login, TurnClient, TurnEvent};
pub use node::RelayNode;
pub use oracle::Sent;

use crate::Trace;
use world::World;

/// What was seen in a world; a seed that sees nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Datagrams that the relay passed on, while the weather was bad.
    pub relayed: u64,
    /// Allocations that were made.
    pub allocations: u64,
    /// Payloads that came to whom they were for.
    pub received: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// Runs the world of one seed: some minutes or hours of bad weather, then a clear sky, under which
/// everybody must get through, and at last nothing may be left.
///
/// # Panics
/// If the relay does what it may not, or doesn't what it must.
pub fn run(seed: u64, trace: Trace) -> Seen {
    let mut world = World::new(seed, trace);
    world.storm();
    world.clear();
    world.seen()
}
