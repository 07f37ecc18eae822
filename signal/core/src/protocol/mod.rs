//! The frames of protocol v1 as docs/protocol.md describes them: one JSON object in one text frame.
//!
//! Both directions are read and written here, so that the server and the Rust SDK can't drift
//! apart. What a frame does is not here: see [`Hub`](crate::Hub) and [`Edge`](crate::Edge).

mod client;
mod code;
mod diagnosis;
mod link;
mod room;
mod server;

pub use client::{ClientFrame, ClientMessage, Entry, RoomFrame};
pub use code::{CloseCode, ErrorCode, LeaveReason};
pub use diagnosis::{AtRelay, Diagnosis, SeatAtRelay, Side, TurnReason, TurnRefusal, Verdict};
pub use link::{
    BadLink, Candidates, Checks, DtlsState, IceError, Link, LinkState, Mapping, Path, PathKind,
};
pub use room::{About, RoomOptions, RoomState, Rules, RulesPatch, Writers};
pub use server::{
    ErrorFrame, Heartbeat, IceServer, IceUpdate, Limits, Member, ServerFrame, ServerMessage,
    Welcome,
};

/// The WebSocket subprotocol that a client may offer and the server then selects.
pub const SUBPROTOCOL: &str = "heliograph.v1";

/// A frame that could not be read: what the answer says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Unreadable {
    /// The kind of mistake.
    pub code: ErrorCode,
    /// A sentence for a developer.
    pub text: String,
    /// The request's `id`, if that much could be read.
    pub id: Option<u64>,
}
