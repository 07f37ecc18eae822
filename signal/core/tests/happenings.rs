//! What happens in rooms, as who follows them is told, beyond what the random histories have.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use signal_core::protocol::LeaveReason;
use signal_core::{Config, Grant, Happening, NewRoom, PeerId, PeerTaken};
use std::time::Duration;
use support::{Desk, room};

/// What happened since the last time, a word each, with the members there are then.
fn happened(desk: &mut Desk) -> Vec<String> {
    let word = |happening| match happening {
        Happening::RoomOpened(room) => format!("{room} opened"),
        Happening::Joined(arrival) => format!("joined {}", arrival.members),
        Happening::Left(gone) => format!("{} {}", gone.reason, gone.members),
        Happening::RoomClosed(room) => format!("{room} closed"),
    };
    std::iter::from_fn(|| desk.hub.poll_happening()).map(word).collect()
}

#[test]
fn a_room_closes_with_its_last_member() {
    let mut desk = Desk::new(Config::default());
    desk.seat(1, "demo");
    desk.seat(2, "demo");
    desk.leave(1, LeaveReason::Left);
    desk.leave(2, LeaveReason::Misbehaved);
    let expected = ["demo opened", "joined 1", "joined 2", "left 1", "misbehaved 0", "demo closed"];
    assert_eq!(happened(&mut desk), expected);
}

#[test]
fn a_room_that_waits_for_members_closes_when_its_time_is_over() {
    let mut desk = Desk::new(Config::default());
    let new = NewRoom { idle: Some(Duration::from_secs(60)), ..NewRoom::default() };
    desk.hub.handle_open_room(desk.now, &room("demo"), new).unwrap();
    desk.seat(1, "demo");
    desk.leave(1, LeaveReason::Left);
    assert_eq!(happened(&mut desk), ["demo opened", "joined 1", "left 0"]);
    desk.at(Duration::from_secs(59));
    assert!(happened(&mut desk).is_empty());
    desk.at(Duration::from_secs(60));
    assert_eq!(happened(&mut desk), ["demo closed"]);
    desk.hub.handle_open_room(desk.now, &room("demo"), NewRoom::default()).unwrap();
    assert_eq!(happened(&mut desk), ["demo opened", "demo closed"], "nobody waits for it");
}

#[test]
fn a_room_stays_open_when_its_only_member_is_replaced() {
    let config = Config { peer_taken: PeerTaken::Replace, ..Config::default() };
    let mut desk = Desk::new(config);
    let grant = || Grant { peer: Some(PeerId::parse("ada").unwrap()), ..Grant::default() };
    desk.join_with(1, "demo", Some(grant()));
    desk.join_with(2, "demo", Some(grant()));
    assert_eq!(happened(&mut desk), ["demo opened", "joined 1", "replaced 0", "joined 1"]);
    desk.hub.handle_close_room(desk.now.time, &room("demo"));
    assert_eq!(happened(&mut desk), ["closed 0", "demo closed"]);
}
