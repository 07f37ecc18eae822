//! The virtual world: both cores under bad weather, behind NATs, with crashes and clocks that step,
//! from one seed.
//!
//! - [`nat`]: what NATs do, in the words of RFC 4787; plain data, shared with the real lab;
//! - [`grid`]: which pairs of peers meet behind them, and by which path; shared likewise;
//! - [`Net`]: networks, hosts and routers that do it, and the [`Weather`];
//! - [`relay`]: clients, peers and an attacker around the relay core, and an oracle at its door;
//! - [`signal`]: clients with sessions around the signal core, and what they must agree on;
//! - [`Dice`]: the one source of randomness; [`run_seeds`]: many worlds, one after the other.
//!
//! Nothing here does IO, reads a clock or has threads: a seed is the whole story of a world, and
//! tells it again.

mod dice;
pub mod grid;
pub mod nat;
mod net;
pub mod relay;
mod seeds;
pub mod signal;
mod trace;

pub use dice::Dice;
pub use net::{Delivery, HostId, INTERNET, Net, NetworkId, Weather};
pub use seeds::run_seeds;
pub use trace::Trace;
