//! The virtual world: both cores under bad weather, behind NATs, with crashes and clocks that step,
//! from one seed.
//!
//! - [`nat`]: what NATs do, in the words of RFC 4787; plain data, shared with the real lab;
//! - [`Net`]: networks, hosts and routers that do it, and the [`Weather`];
//! - [`Dice`]: the one source of randomness.
//!
//! Nothing here does IO, reads a clock or has threads: a seed is the whole story of a world, and
//! tells it again.

mod dice;
pub mod nat;
mod net;

pub use dice::Dice;
pub use net::{Delivery, HostId, INTERNET, Net, NetworkId, Weather};
