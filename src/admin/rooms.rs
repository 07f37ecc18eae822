//! Rooms and their members: who is there, and that somebody or everybody goes.

use super::Admin;
use super::answer::{Json, Refusal, Told};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use signal_server::{
    MemberInfo, PairInfo, PeerId, RoomDetails, RoomId, RoomInfo, ShardFailed, Signal,
};
use std::sync::Arc;
use utoipa::ToSchema;

/// Which rooms.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomsQuery {
    /// Those whose ids come behind this one: the last one of the page before.
    after: Option<String>,
    /// So many at most: 100, and no more than 1,000.
    limit: Option<usize>,
}

/// A page of rooms, in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rooms {
    rooms: Vec<Room>,
    /// What to ask for the next page with; nothing if this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// A room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Room {
    /// Its id.
    room: String,
    /// How many seats are taken.
    members: usize,
    /// When it was made, in seconds since 1970.
    since: u64,
}

/// A room and who is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoomWithMembers {
    /// Its id.
    room: String,
    /// When it was made, in seconds since 1970.
    since: u64,
    /// In the order of their joining.
    members: Vec<Member>,
    /// How they are connected with each other, as they report it: the first 1,024 pairs.
    pairs: Vec<Pair>,
}

/// Two members, and how they are connected.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pair {
    /// Their peer ids.
    peers: [String; 2],
    /// `direct`, `relayed`, `connecting`, `interrupted` or `failed`.
    path: &'static str,
}

/// A member of a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Member {
    /// Its peer id.
    peer: String,
    /// The number of its seat, as in its TURN username. A text, since it may have more digits than
    /// a number of JavaScript holds.
    seat: String,
    /// When it joined, in seconds since 1970.
    since: u64,
    /// What its token says that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// Whether it is the host of the room.
    host: bool,
    /// Whether it has lost its connection.
    away: bool,
    /// The size of its metadata.
    metadata_bytes: usize,
    /// Frames that it was sent and has not acknowledged.
    unacked_frames: usize,
    /// Their bytes.
    unacked_bytes: usize,
}

/// A room that was closed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Closed {
    /// Its id.
    room: String,
    /// How many members it had.
    members: usize,
}

/// Somebody who was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kicked {
    /// The room's id.
    room: String,
    /// Its peer id.
    peer: String,
    /// The number of the seat that it had.
    seat: String,
}

/// The rooms, page by page
#[utoipa::path(
    get,
    path = "/v1/rooms",
    params(RoomsQuery),
    responses((status = 200, description = "A page of them", body = Rooms))
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Told(Query(RoomsQuery { after, limit })): Told<Query<RoomsQuery>>,
) -> Result<Json<Rooms>, Refusal> {
    let limit = admin.page(limit)?;
    let after = after.as_deref().map(room_id).transpose()?;
    let rooms = admin.signal()?.rooms(after, limit).await?;
    let last = rooms.last().filter(|_| rooms.len() == limit);
    let after = last.map(|info| info.room.to_string());
    Ok(Json(Rooms { rooms: rooms.iter().map(Room::of).collect(), after }))
}

/// A room and its members
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}",
    params(("room" = String, Path, description = "The room's id")),
    responses(
        (status = 200, description = "The room", body = RoomWithMembers),
        (status = 404, description = "There is no such room", body = super::answer::Problem)
    )
)]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Told(Path(room)): Told<Path<String>>,
) -> Result<Json<RoomWithMembers>, Refusal> {
    let found = admin.signal()?.room_details(room_id(&room)?).await?;
    let RoomDetails { info, members, pairs } = found.ok_or(Refusal::NO_ROOM)?;
    let members = members.iter().map(Member::of).collect();
    let pairs = pairs.iter().map(Pair::of).collect();
    Ok(Json(RoomWithMembers { room, since: info.since.seconds, members, pairs }))
}

/// Closes a room
///
/// The sessions of all members end with the close code 4103, and the relay takes back what their
/// seats were given. Who joins the room afterwards makes it anew.
#[utoipa::path(
    delete,
    path = "/v1/rooms/{room}",
    params(("room" = String, Path, description = "The room's id")),
    responses(
        (status = 200, description = "It is closed", body = Closed),
        (status = 404, description = "There is no such room", body = super::answer::Problem)
    )
)]
pub(super) async fn close(
    State(admin): State<Arc<Admin>>,
    Told(Path(room)): Told<Path<String>>,
) -> Result<Json<Closed>, Refusal> {
    let members = admin.signal()?.close_room(room_id(&room)?).await?.ok_or(Refusal::NO_ROOM)?;
    tracing::info!(room, members, "room closed by an operator");
    Ok(Json(Closed { room, members }))
}

/// Removes a member from a room
///
/// Its session ends with the close code 4104, the others are told `kicked`, and the relay takes
/// back what its seat was given. That is no ban: it may join again.
#[utoipa::path(
    delete,
    path = "/v1/rooms/{room}/members/{peer}",
    params(
        ("room" = String, Path, description = "The room's id"),
        ("peer" = String, Path, description = "The member's peer id")
    ),
    responses(
        (status = 200, description = "It is removed", body = Kicked),
        (status = 404, description = "It isn't in the room", body = super::answer::Problem)
    )
)]
pub(super) async fn kick(
    State(admin): State<Arc<Admin>>,
    Told(Path((room, peer))): Told<Path<(String, String)>>,
) -> Result<Json<Kicked>, Refusal> {
    let peer_id = PeerId::parse(&peer).map_err(|error| bad_id("peer", error))?;
    let seat = admin.signal()?.kick(room_id(&room)?, peer_id).await?;
    let seat = seat.ok_or(Refusal::NO_PEER)?.to_string();
    tracing::info!(room, peer, "peer removed by an operator");
    Ok(Json(Kicked { room, peer, seat }))
}

impl Admin {
    fn signal(&self) -> Result<&Signal, Refusal> {
        self.signal.as_ref().ok_or(Refusal::NO_SIGNAL)
    }
}

impl From<ShardFailed> for Refusal {
    fn from(error: ShardFailed) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Room {
    fn of(info: &RoomInfo) -> Self {
        let RoomInfo { room, members, since } = info;
        Self { room: room.to_string(), members: *members, since: since.seconds }
    }
}

impl Member {
    fn of(info: &MemberInfo) -> Self {
        Self {
            peer: info.peer.to_string(),
            seat: info.seat.to_string(),
            since: info.since.seconds,
            role: info.role.as_ref().map(|role| role.as_str().to_owned()),
            host: info.is_host,
            away: info.is_away,
            metadata_bytes: info.metadata_bytes,
            unacked_frames: info.unacked_frames,
            unacked_bytes: info.unacked_bytes,
        }
    }
}

impl Pair {
    fn of(info: &PairInfo) -> Self {
        Self { peers: info.peers.each_ref().map(ToString::to_string), path: info.state.name() }
    }
}

fn room_id(text: &str) -> Result<RoomId, Refusal> {
    RoomId::parse(text).map_err(|error| bad_id("room", error))
}

fn bad_id(what: &str, error: signal_server::BadId) -> Refusal {
    Refusal::BadRequest(format!("{what}: {error}"))
}
