//! The NAT lab: worlds of network namespaces, with routers that NAT as real ones do.
//!
//! ```no_run
//! use heliograph_lab::{Kind, World, probe};
//!
//! # fn main() -> anyhow::Result<()> {
//! let mut world = World::new()?;
//! let _server = world.serve_probes()?;
//! let ada = world.peer("ada", Kind::Symmetric)?;
//! let behavior = probe(ada.space())?;
//! assert_eq!(Some((behavior.mapping, behavior.filtering)), Kind::Symmetric.behavior());
//! # Ok(())
//! # }
//! ```
//!
//! [`nat`], [`grid`] and [`line`](mod@line) say what there is, in plain data; [`World`] builds it,
//! for which it takes root, `ip` and `nft`. Nothing in a world reaches the machine's own network,
//! and nothing is left of it: not after a panic, not after Ctrl-C.

mod cable;
pub mod line;
mod meeting;
mod namespace;
mod probe;
mod program;
mod rules;
mod sys;
mod world;

pub use heliograph_sim::{grid, nat};
pub use line::{Bandwidth, Impairment};
pub use meeting::{Client, meet};
pub use namespace::Namespace;
pub use nat::{Egress, Family, Filtering, Gate, Kind, Mapping, Nat};
pub use probe::{Behavior, PROBE_PORTS, hairpins, mapping_outlives, probe};
pub use program::{Program, built};
pub use world::{Host, Network, PUBLIC, SERVER, SERVER_OTHER, SERVER_V6, World};
