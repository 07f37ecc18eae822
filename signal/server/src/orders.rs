//! What an operator asks of the shards: each order goes to the shard it concerns, by a short queue
//! of its own, and is answered from there.

use crate::Signal;
use heliograph_base::Now;
use signal_core::protocol::ErrorCode;
use signal_core::{
    HistoryPage, Hub, NewRoom, PeerId, PublicRoom, RoomDetails, RoomId, RoomInfo, SessionKey,
    SessionName,
};
use std::fmt;
use tokio::sync::{mpsc, oneshot};

/// How many pairs of a room are listed: those of 46 members who all are connected.
const PAIRS_MAX: usize = 1024;

/// An order to one shard, and where its answer goes.
#[derive(Debug)]
pub(crate) enum Order {
    /// See [`Hub::room_infos`].
    Rooms { after: Option<RoomId>, limit: usize, answer: oneshot::Sender<Vec<RoomInfo>> },
    /// See [`Hub::room_details`].
    Details { room: RoomId, answer: oneshot::Sender<Option<RoomDetails>> },
    /// See [`Hub::public_rooms`].
    Public { answer: oneshot::Sender<Vec<PublicRoom>> },
    /// See [`Hub::handle_open_room`].
    Open { room: RoomId, new: Box<NewRoom>, answer: oneshot::Sender<Result<(), ErrorCode>> },
    /// See [`Hub::history`], for who may see it.
    History {
        room: RoomId,
        member: Option<(SessionName, SessionKey)>,
        page: (u64, usize),
        answer: oneshot::Sender<Result<HistoryPage, ErrorCode>>,
    },
    /// See [`Hub::handle_kick`].
    Kick { room: RoomId, peer: PeerId, answer: oneshot::Sender<Option<u64>> },
    /// See [`Hub::handle_close_room`].
    Close { room: RoomId, answer: oneshot::Sender<Option<usize>> },
}

impl Order {
    /// Carries it out. Who asked may be gone; then nobody is told.
    pub(crate) fn carry_out(self, now: Now, hub: &mut Hub) {
        match self {
            Self::Rooms { after, limit, answer } => {
                let _ = answer.send(hub.room_infos(after.as_ref(), limit));
            }
            Self::Details { room, answer } => {
                let _ = answer.send(hub.room_details(&room, PAIRS_MAX));
            }
            Self::Public { answer } => {
                let _ = answer.send(hub.public_rooms());
            }
            Self::Open { room, new, answer } => {
                let _ = answer.send(hub.handle_open_room(now, &room, *new));
            }
            Self::History { room, member, page, answer } => {
                let _ = answer.send(history(hub, &room, member.as_ref(), page));
            }
            Self::Kick { room, peer, answer } => {
                let _ = answer.send(hub.handle_kick(now.time, &room, &peer));
            }
            Self::Close { room, answer } => {
                let _ = answer.send(hub.handle_close_room(now.time, &room));
            }
        }
    }
}

/// What was said in a room, for one of its members, or for anybody where the room is for anybody.
fn history(
    hub: &Hub,
    room: &RoomId,
    member: Option<&(SessionName, SessionKey)>,
    (after, limit): (u64, usize),
) -> Result<HistoryPage, ErrorCode> {
    let is_member =
        member.is_some_and(|(name, key)| name.room == *room && hub.is_member(name, key));
    match hub.is_readable(room) {
        _ if is_member => {}
        Some(true) => {}
        // Nobody has to know which rooms there are.
        Some(false) | None => return Err(ErrorCode::NoSuchRoom),
    }
    hub.history(room, after, limit).ok_or(ErrorCode::NoSuchRoom)
}

/// The shard that should answer has ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardFailed;

impl fmt::Display for ShardFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of the signaling server failed; the log says why")
    }
}

impl std::error::Error for ShardFailed {}

/// What an operator may ask. Each method waits for the shards that it concerns.
impl Signal {
    /// The rooms in the order of their ids: those behind `after`, `limit` at most.
    ///
    /// # Errors
    /// [`ShardFailed`] if one can't answer.
    pub async fn rooms(
        &self,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomInfo>, ShardFailed> {
        let mut answers = Vec::with_capacity(self.edges.orders.len());
        for orders in &self.edges.orders {
            let after = after.clone();
            let order = |answer| Order::Rooms { after, limit, answer };
            answers.push(ask(orders, order).await?);
        }
        let mut rooms = Vec::new();
        for answer in answers {
            rooms.extend(answer.await.map_err(|_| ShardFailed)?);
        }
        rooms.sort_unstable_by(|one, two| one.room.cmp(&two.room));
        rooms.truncate(limit);
        Ok(rooms)
    }

    /// A room, its members in the order of their joining, and the first 1,024 of its pairs; nothing
    /// if there is no such room.
    ///
    /// # Errors
    /// [`ShardFailed`] if its shard can't answer.
    pub async fn room_details(&self, room: RoomId) -> Result<Option<RoomDetails>, ShardFailed> {
        let orders = self.orders(&room);
        let answer = ask(orders, |answer| Order::Details { room, answer }).await?;
        answer.await.map_err(|_| ShardFailed)
    }

    /// Removes a peer from a room: its session ends with 4104, and it counts as gone for good.
    /// Gives the number of its seat; nothing if it isn't there.
    ///
    /// # Errors
    /// [`ShardFailed`] if its shard can't answer.
    pub async fn kick(&self, room: RoomId, peer: PeerId) -> Result<Option<u64>, ShardFailed> {
        let orders = self.orders(&room);
        let answer = ask(orders, |answer| Order::Kick { room, peer, answer }).await?;
        answer.await.map_err(|_| ShardFailed)
    }

    /// Ends all sessions of a room with 4103; their peers count as gone for good. Gives how many
    /// there were; nothing if there is no such room.
    ///
    /// # Errors
    /// [`ShardFailed`] if its shard can't answer.
    pub async fn close_room(&self, room: RoomId) -> Result<Option<usize>, ShardFailed> {
        let orders = self.orders(&room);
        let answer = ask(orders, |answer| Order::Close { room, answer }).await?;
        answer.await.map_err(|_| ShardFailed)
    }

    fn orders(&self, room: &RoomId) -> &mpsc::Sender<Order> {
        &self.edges.orders[self.edges.shard_of(room)]
    }
}

/// Gives a shard an order, and where its answer will be.
pub(crate) async fn ask<T>(
    orders: &mpsc::Sender<Order>,
    order: impl FnOnce(oneshot::Sender<T>) -> Order,
) -> Result<oneshot::Receiver<T>, ShardFailed> {
    let (answer, answered) = oneshot::channel();
    orders.send(order(answer)).await.map_err(|_| ShardFailed)?;
    Ok(answered)
}
