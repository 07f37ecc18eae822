//! What happened in the rooms, as an operator is told: of each it reads opened, joins and leaves,
//! closed, and the counts agree.

use signal_core::{Departure, Happening};
use std::collections::BTreeMap;

/// Who is in which room, by nothing but what happened.
#[derive(Debug, Default)]
pub(crate) struct Chronicle {
    rooms: BTreeMap<String, Vec<String>>,
}

impl Chronicle {
    /// Takes note of what happened. Gives who left.
    pub(crate) fn departures(
        &mut self,
        happened: impl Iterator<Item = Happening>,
    ) -> Vec<Departure> {
        let mut departures = Vec::new();
        for happening in happened {
            let name = happening.room().to_string();
            match happening {
                Happening::RoomOpened(_) => {
                    let before = self.rooms.insert(name, Vec::new());
                    assert!(before.is_none(), "a room is opened once");
                }
                Happening::Joined(arrival) => {
                    let there = self.rooms.get_mut(&name).expect("a room is opened first");
                    there.push(arrival.peer.to_string());
                    assert_eq!(arrival.members, there.len());
                }
                Happening::Left(departure) => {
                    let there = self.rooms.get_mut(&name).expect("a room is closed last");
                    let before = there.len();
                    there.retain(|peer| peer != departure.peer.as_str());
                    assert_eq!((departure.members, there.len() + 1), (there.len(), before));
                    departures.push(departure);
                }
                Happening::RoomClosed(_) => {
                    assert_eq!(self.rooms.remove(&name), Some(Vec::new()), "with the last member");
                }
            }
        }
        departures
    }

    /// The members of a room in the order of their joining.
    pub(crate) fn room(&self, name: &str) -> Vec<String> {
        self.rooms.get(name).cloned().unwrap_or_default()
    }

    /// Whether no room is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}
