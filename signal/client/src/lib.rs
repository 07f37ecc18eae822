//! The Rust SDK of Heliograph: join a room, get peers with data channels.
//!
//! ```no_run
//! use heliograph_client::{Event, Options, join};
//!
//! # async fn example() -> Result<(), heliograph_client::Error> {
//! let mut room = join("ws://127.0.0.1:8080", "demo", Options::default()).await?;
//! while let Some(event) = room.next().await {
//!     match event {
//!         Event::Connected { peer, path } => {
//!             println!("{} is connected: {path}", peer.id());
//!             let _ = peer.send_reliable("hello").await;
//!         }
//!         Event::Message { peer, data, .. } => println!("{}: {data:?}", peer.id()),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Everybody in the room is connected to by itself: perfect negotiation in the roles that the
//! server gives, trickle ICE with the server's STUN and TURN, data channels that both sides agree
//! on (docs/protocol.md), browsers included. A lost signaling connection leaves open peer
//! connections open; it is taken up again by itself, without WebSockets where they are blocked, and
//! what was sent meanwhile arrives then. docs/sdk-rust.md is the guide.
//!
//! The protocol's frames and the session come from `signal-core`, WebRTC from crate `webrtc`. TURN
//! goes over UDP only.
//!
//! On `wasm32-unknown-unknown` it runs in a page, on what the browser has instead; what differs is
//! in docs/sdk-rust-web.md.

mod channel;
mod config;
mod error;
mod event;
mod inbox;
mod line;
mod link;
mod lobby;
mod peer;
mod place;
mod room;
mod signaling;
mod stats;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

#[cfg(not(target_arch = "wasm32"))]
use native as platform;
#[cfg(target_arch = "wasm32")]
use web as platform;

pub use channel::{Channel, ChannelOptions, ChannelState, Messages};
pub use error::{Error, SendError, Trouble};
pub use event::{Data, Event};
pub use link::{CandidateType, Path, Protocol};
pub use lobby::{MatchOptions, find_match, find_room, list_rooms, make_room};
pub use peer::Peer;
pub use place::Server;
pub use room::{Options, Room, To, TokenSource, join};
pub use signal_core::client::{
    Condition, History, MakeRoom, Match, Property, PublicRoom, Relax, RoomEvent, RoomSearch,
    RoomState, Ticket, Transport, Wish,
};
pub use signal_core::protocol::{
    Diagnosis, ErrorCode, LeaveReason, Rules, RulesPatch, Side, Verdict, Writers,
};
pub use signal_core::{BadId, PeerId, RoomId, Token};
pub use stats::{Counts, Stats};

/// Programs can keep these wherever they like, in browsers too.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Room>();
    is_shared::<Peer>();
    is_shared::<Channel>();
};

/// The guides' code compiles.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/sdk-rust.md")]
    struct SdkRust;

    #[doc = include_str!("../../../docs/from-matchbox.md")]
    struct FromMatchbox;
}
