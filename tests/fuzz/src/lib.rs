//! What the fuzz targets check. Each takes any bytes and panics if the relay or the
//! signaling breaks a promise.
//!
//! The targets themselves, for `cargo fuzz`, are in `libfuzzer/`; `tests/replay.rs` runs the same
//! checks over the committed corpora on the stable toolchain. docs/fuzzing.md says how.

mod authenticated;
mod clients;
mod directory;
mod edge;
mod frames;
mod hub;
mod input;
mod model;
mod policy;
mod proxy_header;
mod read;
mod stream;
mod tickets;
mod token;
mod unauthenticated;
mod wire;
mod world;

pub use authenticated::authenticated;
pub use directory::directory;
pub use edge::edge;
pub use frames::frames;
pub use hub::hub;
pub use policy::policy;
pub use proxy_header::proxy_header;
pub use stream::stream;
pub use tickets::tickets;
pub use token::token;
pub use unauthenticated::unauthenticated;
pub use wire::wire;

/// A check: takes any bytes.
pub type Check = fn(&[u8]);

/// Every check with the name of its target and corpus.
pub const CHECKS: [(&str, Check); 12] = [
    ("wire", wire),
    ("stream", stream),
    ("policy", policy),
    ("unauthenticated", unauthenticated),
    ("authenticated", authenticated),
    ("frames", frames),
    ("edge", edge),
    ("hub", hub),
    ("tickets", tickets),
    ("directory", directory),
    ("token", token),
    ("proxy_header", proxy_header),
];
