//! Clients with their sessions, connections that break and stall, and a hub that may start anew.

mod conn;
mod member;
mod world;

use crate::Trace;
use world::World;

/// What was seen in a world; a seed that sees nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Seats that were given.
    pub joins: u64,
    /// Sessions that went on, on another connection.
    pub resumes: u64,
    /// Signals that came.
    pub signals: u64,
    /// Signals that didn't, which their sender was told.
    pub refused: u64,
    /// Other hosts of which somebody was told.
    pub hosts: u64,
}

/// Runs the world of one seed: some minutes of bad weather, then a clear sky, under which all must
/// agree on who is there and what was said, and at last nothing may be left.
///
/// # Panics
/// If somebody is told what isn't so, or isn't told what is.
pub fn run(seed: u64, trace: Trace) -> Seen {
    let mut world = World::new(seed, trace);
    world.storm();
    world.clear();
    world.end()
}
