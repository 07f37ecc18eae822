//! What an operator sees of a hub and does to it, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::json;
use signal_core::protocol::LeaveReason;
use signal_core::{Config, Departure, Detached, Happening, Purpose, RoomDetails, RoomInfo};
use std::time::Duration;
use support::{Desk, NOW, room, told, told_plainly};

fn desk() -> Desk {
    Desk::new(Config::default())
}

fn departures(desk: &mut Desk) -> Vec<Departure> {
    happenings(desk).into_iter().filter_map(departure).collect()
}

fn happenings(desk: &mut Desk) -> Vec<Happening> {
    std::iter::from_fn(|| desk.hub.poll_happening()).collect()
}

fn departure(happening: Happening) -> Option<Departure> {
    match happening {
        Happening::Left(departure) => Some(departure),
        Happening::RoomOpened(_) | Happening::Joined(_) | Happening::RoomClosed(_) => None,
    }
}

#[test]
fn who_is_kicked_is_closed_and_the_others_are_told() {
    let mut desk = desk();
    let (_, bob) = (desk.seat(1, "demo"), desk.seat(2, "demo"));
    desk.seat(3, "demo");
    let seat = desk.hub.handle_kick(desk.now.time, &room("demo"), &bob.peer).expect("he was there");
    let left = json!({"type": "left", "peer": bob.peer.as_str(), "reason": "kicked"});
    let closed = json!({"close": 4104});
    assert_eq!(told_plainly(&desk.drain()), [(2, closed), (1, left.clone()), (3, left)]);
    let [departure] = &departures(&mut desk)[..] else { panic!("one has left") };
    assert_eq!((departure.seat, departure.reason), (seat, LeaveReason::Kicked));
    assert!(departure.is_for_good(), "what he was given is taken back");
    let refused = json!({"refused": "no_such_session", "id": null});
    assert_eq!(told(&desk.resume(4, &bob, 1)), [(4, refused)]);
    assert_eq!(desk.hub.counts().members, 2);
}

#[test]
fn only_who_is_in_that_room_can_be_kicked_from_it() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo"), desk.seat(2, "other"));
    let gone = desk.seat(3, "demo");
    desk.leave(3, LeaveReason::Left);
    for (name, peer) in [("other", &ada.peer), ("demo", &bob.peer), ("demo", &gone.peer)] {
        assert_eq!(desk.hub.handle_kick(desk.now.time, &room(name), peer), None);
    }
    assert!(desk.hub.handle_kick(desk.now.time, &room("nowhere"), &ada.peer).is_none());
    assert!(desk.drain().iter().all(|(to, _)| *to == 1), "only that somebody left before");
    assert_eq!(desk.hub.counts().members, 2);
}

#[test]
fn who_is_away_can_be_kicked_and_every_connection_of_who_is_here_closes() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo"), desk.seat(2, "demo"));
    desk.detach(2, Detached::Lost);
    assert!(desk.hub.handle_kick(desk.now.time, &room("demo"), &bob.peer).is_some());
    assert_eq!(told(&desk.drain())[0].1["reason"], "kicked");
    assert!(desk.at(Duration::from_secs(60)).is_empty(), "he can't come back");

    desk.resume_as(3, &ada, Purpose::Send);
    desk.hub.handle_kick(desk.now.time, &room("demo"), &ada.peer).expect("she was there");
    let closed = |edge: u64| (edge, json!({"close": 4104}));
    assert_eq!(told(&desk.drain()), [closed(1), closed(3)]);
    assert_eq!(desk.hub.counts().rooms, 0, "she was the last one");
}

#[test]
fn the_sender_learns_that_what_waited_for_a_kicked_peer_never_came() {
    let mut desk = desk();
    desk.seat(1, "demo");
    let bob = desk.seat(2, "demo").peer;
    desk.numbered_signal(1, &bob, "1", Some(1));
    desk.hub.handle_kick(desk.now.time, &room("demo"), &bob).expect("he was there");
    let told = told(&desk.drain());
    let error = told.last().map(|(to, frame)| (*to, &frame["code"], &frame["id"]));
    assert_eq!(error, Some((1, &json!("undelivered"), &json!(1))));
}

#[test]
fn a_closed_room_closes_all_its_sessions_and_no_other() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo"), desk.seat(2, "demo"));
    desk.seat(3, "other");
    desk.seat(6, "demo");
    desk.numbered_signal(2, &ada.peer, "1", Some(1));
    desk.detach(6, Detached::Lost);
    assert_eq!(desk.hub.handle_close_room(desk.now.time, &room("demo")), Some(3));
    let closed = |edge: u64| (edge, json!({"close": 4103}));
    assert_eq!(told(&desk.drain()), [closed(1), closed(2)], "and nothing of each other");
    let mut happened = happenings(&mut desk);
    let last = happened.pop();
    assert!(matches!(&last, Some(Happening::RoomClosed(id)) if *id == room("demo")), "{last:?}");
    let gone = happened.into_iter().filter_map(departure);
    let gone: Vec<_> = gone.map(|gone| (gone.reason, gone.members)).collect();
    assert_eq!(gone, [2, 1, 0].map(|left| (LeaveReason::Closed, left)));
    for seat in [&ada, &bob] {
        let refused = json!({"refused": "no_such_session", "id": null});
        assert_eq!(told(&desk.resume(4, seat, 1)), [(4, refused)]);
    }
    assert_eq!((desk.hub.counts().rooms, desk.hub.counts().members), (1, 1));
    assert!(desk.at(Duration::from_secs(60)).iter().all(|(to, _)| *to == 3));
    assert_eq!(
        desk.hub.handle_close_room(desk.now.time, &room("demo")),
        None,
        "it is closed already"
    );
    desk.seat(5, "demo");
}

#[test]
fn a_full_room_closes_at_once_and_nobody_is_told_of_the_others() {
    let mut desk = desk();
    for edge in 0..1024 {
        let (outputs, _) = desk.join(edge, "demo");
        for (to, event) in outputs {
            if let signal_core::Event::Frame(numbered) = event {
                desk.ack(to, numbered.seq.expect("all are numbered"));
            }
        }
    }
    assert_eq!(desk.hub.handle_close_room(desk.now.time, &room("demo")), Some(1024));
    let outputs = desk.drain();
    assert_eq!(outputs.len(), 1024);
    assert!(told(&outputs).iter().all(|(_, told)| *told == json!({"close": 4103})));
    assert_eq!(desk.hub.counts().slow, 0);
}

#[test]
fn rooms_come_in_the_order_of_their_ids_page_by_page() {
    let mut desk = desk();
    for (edge, name) in [(1, "cedar"), (2, "ash"), (3, "elm"), (4, "birch"), (5, "birch")] {
        desk.at(Duration::from_secs(edge));
        desk.seat(edge, name);
    }
    let info = |name: &str, members: usize, after: u64| RoomInfo {
        room: room(name),
        members,
        since: NOW.unix + Duration::from_secs(after),
    };
    let (ash, birch) = (info("ash", 1, 2), info("birch", 2, 4));
    let (cedar, elm) = (info("cedar", 1, 1), info("elm", 1, 3));
    assert_eq!(desk.hub.room_infos(None, 2), [ash.clone(), birch.clone()]);
    assert_eq!(desk.hub.room_infos(Some(&room("birch")), 2), [cedar.clone(), elm.clone()]);
    assert_eq!(desk.hub.room_infos(Some(&room("boxwood")), 1), std::slice::from_ref(&cedar));
    assert_eq!(desk.hub.room_infos(None, 9), [ash, birch, cedar, elm]);
    assert!(desk.hub.room_infos(Some(&room("elm")), 9).is_empty());
    assert!(desk.hub.room_infos(None, 0).is_empty());
}

#[test]
fn members_show_what_waits_for_them_and_whether_they_are_there() {
    let mut desk = desk();
    let ada = desk.seat(1, "demo");
    desk.at(Duration::from_secs(7));
    let bob = desk.seat(2, "demo");
    desk.ack(1, 2);
    desk.detach(2, Detached::Lost);
    let before = desk.hub.room_details(&room("demo"), 0).unwrap().members[1].unacked_bytes;
    desk.signal(1, &bob.peer, r#""a payload""#);
    let details = desk.hub.room_details(&room("demo"), 0).unwrap();
    let RoomDetails { info, members, .. } = details;
    assert_eq!((info.members, info.since), (2, NOW.unix));
    let [of_ada, of_bob] = &members[..] else { panic!("two members") };
    assert_eq!((&of_ada.peer, &of_bob.peer), (&ada.peer, &bob.peer));
    assert!(of_ada.seat < of_bob.seat);
    assert_eq!((of_ada.is_away, of_bob.is_away), (false, true), "though nobody was told yet");
    assert_eq!((of_ada.unacked_frames, of_ada.unacked_bytes), (0, 0));
    let signal = format!(r#"{{"type":"signal","from":"{}","data":"a payload"}}"#, ada.peer);
    assert_eq!(of_bob.unacked_frames, 2);
    assert_eq!(of_bob.unacked_bytes - before, signal.len());
    assert_eq!(of_bob.metadata_bytes, r#"{"edge": 2}"#.len());
    assert_eq!(of_bob.since, NOW.unix + Duration::from_secs(7));
    assert!(desk.hub.room_details(&room("other"), 0).is_none());
}
