//! Two peers with real ICE, DTLS and data channels (str0m) in the virtual world: they meet in a
//! room of our hub, and get through by our relay where they must.
//!
//! str0m rolls its own dice, so a meeting isn't the same to the last packet again. What comes of
//! all pairs is in docs/nat-grid.md, beside what comes of them in the lab: [`page`].

pub mod page;
mod peer;
mod signaling;
mod world;

pub use world::{meet, simulate};
