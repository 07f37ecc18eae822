//! Rooms and sessions of the signaling protocol, without IO.
//!
//! - [`protocol`]: the frames of docs/protocol.md, read and written; shared with the Rust SDK;
//! - [`Edge`]: one client's connection, whatever carries it;
//! - [`Hub`]: the rooms of one shard, and the sessions in them, which outlive their connections;
//! - [`Request`] and [`Event`]: all that the two say to each other;
//! - [`matchmaking`]: tickets that find each other, and the room where they meet;
//! - [`RoomSearch`]: who looks for a public room, and what is found;
//! - [`diagnose`]: how a pair is connected, or why it isn't;
//! - [`client`]: the other end, a client's half of a session;
//! - [`ProxyHeader`]: what a proxy says before the first byte of a client;
//! - ids: [`RoomId`], [`PeerId`], [`SessionName`], [`EdgeId`]; limits: [`Config`].
//!
//! Nothing here reads a clock, opens a socket, or rolls dice: time is an argument and randomness a
//! seed.

mod bucket;
pub mod client;
mod config;
mod diagnosis;
mod directory;
mod edge;
mod exchange;
mod grant;
mod hub;
mod id;
pub mod matchmaking;
pub mod protocol;
mod proxy_header;
mod queue;
mod room;
mod seat;
mod session;
mod timers;

pub use bucket::Bucket;
pub use config::{AtExpiry, Config, MatchLimits, PeerTaken, SearchLimits, TurnKey};
pub use diagnosis::{PairFacts, SeatFacts, diagnose};
pub use directory::{BadSearch, Comparison, Condition, ListedRoom, RoomSearch, RoomSort};
pub use edge::{Edge, End, Transmit};
pub use exchange::{
    BadMetadata, Detached, Diagnose, EdgeId, Event, FrameText, IceUrls, Join, Metadata, Need,
    Numbered, Purpose, Renew, Report, Request, Resume, Signal,
};
pub use grant::{Grant, Hold, Token};
pub use hub::{
    Arrival, Counts, Departure, Happening, HistoryPage, Hub, MemberInfo, Output, PairCounts,
    PairInfo, PairState, PublicRoom, RoomDetails, RoomInfo, Seed,
};
pub use id::{BadId, BadOnce, ID_BYTES_MAX, Once, PeerId, Role, RoomId, SessionKey, SessionName};
pub use proxy_header::{BadProxyHeader, ProxyHeader};
pub use queue::Queue;
pub use room::{Audience, BadRoom, NewRoom, Password, RoomAction, RoomRequest};
