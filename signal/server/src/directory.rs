//! The public rooms, for whoever looks for one: a list that is at most a second old, so that
//! looking costs the shards nothing however many look.

use crate::edges::Edges;
use crate::orders::{Order, ask};
use heliograph_base::Time;
use signal_core::ListedRoom;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How old the list may be.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(1);

/// The last list.
#[derive(Debug, Default)]
pub(crate) struct Directory(Mutex<Option<(Time, Arc<[ListedRoom]>)>>);

impl Directory {
    /// The public rooms; those of shards that don't answer are left out.
    pub(crate) async fn rooms(&self, edges: &Edges) -> Arc<[ListedRoom]> {
        let mut known = self.0.lock().await;
        let now = edges.now();
        if let Some((at, rooms)) = &*known
            && now.since(*at) < AGE_MAX
        {
            return rooms.clone();
        }
        let mut rooms = Vec::new();
        for orders in &edges.orders {
            if let Ok(answer) = ask(orders, |answer| Order::Public { answer }).await
                && let Ok(public) = answer.await
            {
                rooms.extend(public.into_iter().map(ListedRoom::new));
            }
        }
        rooms.sort_unstable_by(|one, two| one.room.room.cmp(&two.room.room));
        let rooms: Arc<[ListedRoom]> = rooms.into();
        *known = Some((now, rooms.clone()));
        rooms
    }
}
