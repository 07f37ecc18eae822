//! Rooms and sessions of the signaling protocol, without IO.
//!
//! - [`protocol`]: the frames of docs/protocol.md, read and written; shared with the Rust SDK;
//! - ids: [`RoomId`], [`PeerId`].
//!
//! Nothing here reads a clock, opens a socket, or rolls dice: time is an argument and randomness a seed.

mod id;
pub mod protocol;

pub use id::{BadId, ID_BYTES_MAX, PeerId, RoomId};
