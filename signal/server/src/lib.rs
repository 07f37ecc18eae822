//! axum around signal-core: routes, WebSocket sessions, shards, the embedded page.
//!
//! - [`Http`] accepts connections and serves a router on them;
//! - [`Signal`] is the signaling server: its [router](Signal::router), its shards, its end.
//!
//! The way of a frame: `socket` (WebSocket frames) -> `websocket` (one task per client, a
//! [`signal_core::Edge`] with its ties in `edges`) -> `shard` (one task per [`signal_core::Hub`])
//! -> `outbox` -> the other client's task -> its `socket`. `events` (SSE), `poll` and `send` do the
//! same over plain HTTP. `matchmaking` (`/v1/tickets`) asks `ticket_office` (one task that owns all
//! tickets), `rooms` (`/v1/rooms`) the shards. A shard never waits for a client, and nobody for a
//! lock but that of one client's outbox. What happens in rooms goes from the shards to `webhooks`
//! too.

mod access;
mod activity;
mod admission;
mod alarm;
mod auth;
mod checking;
mod client_address;
mod config;
mod counters;
mod diagnosing;
mod directory;
mod drain;
mod edges;
mod events;
mod folder;
mod framing;
mod handshake;
mod http;
mod http_client;
mod ice;
mod matchmaking;
mod orders;
mod origin;
mod outbox;
mod page;
mod poll;
mod proxied;
mod rooms;
mod serving;
mod shard;
mod signal;
mod socket;
mod ticket_office;
mod webhooks;
mod websocket;

pub use auth::{
    AuthConfig, BadKey, KeySource, KeyUrl, Keys, Mint, MintKey, TokenConfig, WebhookConfig,
    check_token,
};
pub use client_address::{InvalidNetwork, Network};
pub use config::{
    AdmissionLimits, Http2Limits, HttpLimits, IceConfig, OnDeparture, SignalConfig, TurnListener,
    TurnTransport,
};
pub use diagnosing::{AskRelay, Asking};
pub use folder::Folder;
pub use http::{Accepted, Connection, Http, bind, tune};
pub use http_client::{
    BadUrl, HttpClient, Incoming, Outgoing, OutgoingUrl, SIGNATURE, Unanswered, signature,
};
pub use orders::ShardFailed;
pub use origin::{BadOrigin, Origins, WebOrigin};
pub use page::{look, serve_file};
pub use signal::Signal;
pub use signal_core::protocol::{AtRelay, IceServer, SeatAtRelay, TurnReason, TurnRefusal};
pub use signal_core::{
    AtExpiry, BadId, Bucket, Departure, MatchLimits, MemberInfo, PairFacts, PairInfo, PairState,
    PeerId, PeerTaken, RoomDetails, RoomId, RoomInfo, SeatFacts,
};
pub use tokio_rustls::TlsAcceptor;
pub use webhooks::{BadEvent, HookConfig, HookEvent};
