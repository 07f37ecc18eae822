//! The relay's allocations: which there are, and that they end.

use super::Admin;
use super::answer::{Json, Refusal, Sent, Told};
use axum::extract::{Query, State};
use heliograph_base::Now;
use relay_core::{AllocationInfo, AllocationQuery, Flow, Revoke, SeatInfo, Transport};
use relay_server::{Busy, Relay};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// Which allocations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct AllocationsQuery {
    /// Those of seats in this room.
    room: Option<String>,
    /// Those of seats of this peer.
    peer: Option<String>,
    /// Those behind this relayed address: the last one of the page before.
    #[param(value_type = Option<String>)]
    after: Option<SocketAddr>,
    /// So many at most: 100, and no more than 1,000.
    limit: Option<usize>,
}

/// A page of allocations, in the order of their relayed addresses.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Allocations {
    allocations: Vec<Allocation>,
    /// What to ask for the next page with; nothing if this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    after: Option<SocketAddr>,
}

/// A live allocation; one with an IPv4 and an IPv6 address is two of these.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Allocation {
    /// The relayed transport address.
    #[schema(value_type = String)]
    relayed: SocketAddr,
    /// The client's address.
    #[schema(value_type = String)]
    client: SocketAddr,
    /// How the client reaches the relay: `udp`, `tcp` or `tls`.
    transport: &'static str,
    /// What it relays: `udp`, or `tcp` (RFC 6062), whose bytes are not counted here.
    relays: &'static str,
    /// Whose it is: of a time-limited username what follows the expiry.
    user: String,
    /// The room of the seat that it belongs to, if it belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// The peer that has the seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    /// The number of the seat.
    #[serde(skip_serializing_if = "Option::is_none")]
    seat: Option<String>,
    /// When it was made, in seconds since 1970.
    since: u64,
    /// When it ends, if it isn't refreshed.
    expires: u64,
    /// What its client sent to peers.
    from_client: Traffic,
    /// What peers sent to its client.
    to_client: Traffic,
}

/// Packets and their payload.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Traffic {
    packets: u64,
    bytes: u64,
}

/// Whose allocations end: of a room, of a peer in it, or of a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeOrder {
    /// A room's id.
    room: Option<String>,
    /// A peer's id; needs `room`.
    peer: Option<String>,
    /// A whole TURN username, what follows its expiry, or a static user; excludes the others.
    user: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    /// How many allocations ended.
    ended: usize,
}

/// The relay's live allocations, page by page
#[utoipa::path(
    get,
    path = "/v1/allocations",
    params(AllocationsQuery),
    responses((status = 200, description = "A page of them", body = Allocations))
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Told(Query(query)): Told<Query<AllocationsQuery>>,
) -> Result<Json<Allocations>, Refusal> {
    let AllocationsQuery { room, peer, after, limit } = query;
    let query = AllocationQuery { room, peer, after, limit: admin.page(limit)? };
    let infos = admin.relay()?.allocations(&query).await?;
    let now = admin.clock.now();
    let last = infos.last().filter(|_| infos.len() == query.limit);
    let after = last.map(|info| info.relayed);
    let allocations = infos.into_iter().map(|info| Allocation::of(now, info)).collect();
    Ok(Json(Allocations { allocations, after }))
}

/// Ends allocations and refuses the credentials that they were made with
///
/// For a static user until the relay starts anew; for others as long as their credentials are good.
/// A room's members that join again get new ones.
#[utoipa::path(
    post,
    path = "/v1/revoke",
    request_body = RevokeOrder,
    responses((status = 200, description = "It is done", body = Revoked))
)]
pub(super) async fn revoke(
    State(admin): State<Arc<Admin>>,
    Sent(order): Sent<RevokeOrder>,
) -> Result<Json<Revoked>, Refusal> {
    let revoke = match order {
        RevokeOrder { room: Some(room), peer: None, user: None } => Revoke::Room(room),
        RevokeOrder { room: Some(room), peer: Some(peer), user: None } => {
            Revoke::Peer { room, peer }
        }
        RevokeOrder { room: None, peer: None, user: Some(user) } => Revoke::User(user),
        RevokeOrder { .. } => {
            let text = "the body: give room, room and peer, or user";
            return Err(Refusal::BadRequest(text.to_owned()));
        }
    };
    let ended = admin.relay()?.revoke_counted(&revoke).await?;
    tracing::info!(?revoke, ended, "revoked by an operator");
    Ok(Json(Revoked { ended }))
}

impl Admin {
    fn relay(&self) -> Result<&Relay, Refusal> {
        self.relay.as_deref().ok_or(Refusal::NO_RELAY)
    }
}

impl From<Busy> for Refusal {
    fn from(error: Busy) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Allocation {
    fn of(now: Now, info: AllocationInfo) -> Self {
        let (room, peer, seat) = match info.seat {
            Some(SeatInfo { room, peer, seat }) => (Some(room), Some(peer), Some(seat.to_string())),
            None => (None, None, None),
        };
        Self {
            relayed: info.relayed,
            client: info.client,
            transport: match info.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
                Transport::Tls => "tls",
            },
            relays: if info.is_tcp { "tcp" } else { "udp" },
            user: info.user,
            room,
            peer,
            seat,
            since: now.unix.seconds.saturating_sub(info.age.as_secs()),
            expires: now.unix.seconds + info.expires_in.as_secs(),
            from_client: Traffic::of(info.from_client),
            to_client: Traffic::of(info.to_client),
        }
    }
}

impl Traffic {
    fn of(Flow { packets, bytes }: Flow) -> Self {
        Self { packets, bytes }
    }
}
