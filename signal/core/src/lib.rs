//! Rooms and sessions of the signaling protocol, without IO.
//!
//! - [`protocol`]: the frames of docs/protocol.md, read and written; shared with the Rust SDK;
//! - [`Session`]: one client's connection, whatever carries it;
//! - [`Hub`]: the rooms of one shard;
//! - [`Request`] and [`Event`]: all that the two say to each other;
//! - ids: [`RoomId`], [`PeerId`], [`SessionId`]; limits: [`Config`].
//!
//! Nothing here reads a clock, opens a socket, or rolls dice: time is an argument and randomness a
//! seed.

mod config;
mod exchange;
mod hub;
mod id;
pub mod protocol;
mod room;
mod session;

pub use config::{Config, TurnKey};
pub use exchange::{
    BadMetadata, Event, FrameText, IceUrls, Join, Metadata, Request, SessionId, Signal,
};
pub use hub::{Counts, Departure, Hub, Output, Seed};
pub use id::{BadId, ID_BYTES_MAX, PeerId, RoomId};
pub use session::{End, Session, Transmit};
