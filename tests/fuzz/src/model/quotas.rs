//! How many allocations there may be, counted anew each time.

use super::Model;
use crate::clients::{STATIC, holder, seat};
use relay_core::Config;

/// The limits that programs run with: so small that they reach them.
pub(crate) fn limit(config: &mut Config) {
    config.allocations_max = 10;
    config.allocations_per_user_max = 6;
    config.allocations_per_holder_max = 3;
    config.allocations_per_room_max = 4;
    config.allocations_per_source_max = 4;
}

impl Model {
    /// Whether a user gets one more allocation, or else the number of the error.
    pub(super) fn quota(&self, user: &str, source: u128) -> Result<(), u16> {
        let mut config = Config::default();
        limit(&mut config);
        let (all, max) = (self.live(), config.allocations_max);
        if all >= max {
            return Err(508);
        }
        let of_user = self.ports_where(|other| holder(other.user) == holder(user));
        let user_max = if STATIC.contains(&user) {
            config.allocations_per_user_max
        } else {
            config.allocations_per_holder_max
        };
        let room = seat(user).map(|seat| seat.room);
        let is_full = room.is_some_and(|room| {
            let of_room = |other| seat(other).is_some_and(|seat| seat.room == room);
            let count = self.ports_where(|other| of_room(other.user));
            count >= config.allocations_per_room_max
        });
        let of_source = self.ports_where(|other| other.source == source);
        let is_scarce = all >= max - max * config.allocations_headroom_percent / 100;
        let share = (max / (self.holders() + 1)).max(1);
        let is_over = of_user >= user_max
            || is_full
            || of_source >= config.allocations_per_source_max
            || (is_scarce && of_user >= share);
        if is_over { Err(486) } else { Ok(()) }
    }
}
