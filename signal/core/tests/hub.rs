//! What a room tells whom, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::{SeatName, Username, password};
use serde_json::json;
use signal_core::protocol::LeaveReason;
use signal_core::{Config, Event, Numbered, PeerId};
use std::collections::HashSet;
use std::time::Duration;
use support::{Desk, NOW, told, told_plainly, turn_key};

fn desk() -> Desk {
    Desk::new(Config::default())
}

#[test]
fn a_newcomer_learns_who_is_there_and_they_learn_of_it() {
    let mut desk = desk();
    let (first, second) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
    let (outputs, third) = desk.join(3, "demo");
    let told = told_plainly(&outputs);
    let member = |peer: &PeerId, edge: u64| {
        let metadata = json!({"edge": edge});
        json!({"peer": peer.as_str(), "metadata": metadata, "polite": false, "offers": true})
    };
    let (to, welcome) = &told[2];
    assert_eq!(*to, 3);
    assert_eq!(welcome["members"], json!([member(&first, 1), member(&second, 2)]));
    let joined = json!({
        "type": "joined",
        "peer": third.unwrap().peer.as_str(),
        "metadata": {"edge": 3},
        "polite": true,
        "offers": false,
    });
    assert_eq!(told[..2], [(1, joined.clone()), (2, joined)]);
}

#[test]
fn a_signal_reaches_its_addressee_byte_for_byte_and_nobody_else() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
    desk.seat(3, "demo");
    let outputs = desk.signal(1, &bob, r#"{ "sdp":"a\u0062" , "n":1.0e2 }"#);
    let [(2, Event::Frame(frame))] = outputs.as_slice() else { panic!("{outputs:?}") };
    let expected =
        r#"{"seq":3,"type":"signal","from":"FROM","data":{ "sdp":"a\u0062" , "n":1.0e2 }}"#;
    assert_eq!(frame.text().as_str(), expected.replace("FROM", ada.as_str()));
}

#[test]
fn a_signal_to_nobody_else_in_the_room_is_refused() {
    let mut desk = desk();
    let (ada, elsewhere) = (desk.seat(1, "demo").peer, desk.seat(2, "other").peer);
    let gone = desk.seat(3, "demo").peer;
    desk.leave(3, LeaveReason::Left);
    for nobody in [&elsewhere, &gone, &ada] {
        let refused = json!({"refused": "no_such_peer", "id": null});
        assert_eq!(told(&desk.signal(1, nobody, "1")), [(1, refused)]);
    }
    let refused = json!({"refused": "hello_first", "id": null});
    assert_eq!(told(&desk.signal(4, &ada, "1")), [(4, refused)]);
}

#[test]
fn the_others_learn_why_somebody_left() {
    let mut desk = desk();
    desk.seat(1, "demo");
    for (reason, word) in [
        (LeaveReason::Left, "left"),
        (LeaveReason::Lost, "lost"),
        (LeaveReason::Vanished, "vanished"),
        (LeaveReason::Misbehaved, "misbehaved"),
    ] {
        let peer = desk.seat(2, "demo").peer;
        let left = json!({"type": "left", "peer": peer.as_str(), "reason": word});
        assert_eq!(told_plainly(&desk.leave(2, reason)), [(1, left)]);
        assert!(desk.leave(2, reason).is_empty(), "it left once");
    }
}

#[test]
fn a_second_join_of_one_connection_is_refused() {
    let mut desk = desk();
    desk.seat(1, "demo");
    for name in ["demo", "other"] {
        let refused = json!({"refused": "already_joined", "id": 1});
        assert_eq!(told(&desk.join(1, name).0), [(1, refused)]);
    }
    assert_eq!(desk.hub.counts().rooms, 1);
}

#[test]
fn ten_thousand_joins_of_one_room_fill_it_and_no_more() {
    let mut desk = desk();
    let mut peers = HashSet::new();
    for session in 0..10_000 {
        let (outputs, seat) = desk.join(session, "demo");
        for (to, event) in &outputs {
            if let Event::Frame(Numbered { seq: Some(seq), .. }) = event {
                desk.ack(*to, *seq);
            }
        }
        match seat {
            Some(seat) => assert!(peers.insert(seat.peer)),
            None => {
                let refused = json!({"refused": "room_full", "id": session});
                assert_eq!(told(&outputs), [(session, refused)]);
            }
        }
    }
    assert_eq!((peers.len(), desk.hub.counts().members), (1024, 1024));
    desk.seat(10_000, "other");
}

#[test]
fn a_room_takes_a_burst_of_joins_and_then_so_many_a_second() {
    let config = Config { room_joins_per_s: 10, room_joins_burst: 5, ..Config::default() };
    let mut desk = Desk::new(config);
    // The first one makes the room.
    for edge in 0..6 {
        desk.seat(edge, "demo");
    }
    let (outputs, seat) = desk.join(6, "demo");
    assert!(seat.is_none());
    let (to, event) = &outputs[0];
    let Event::Refused { retry_after, .. } = event else { panic!("{event:?}") };
    assert_eq!((*to, *retry_after), (6, Some(Duration::from_millis(100))));
    desk.seat(7, "other");
    desk.at(Duration::from_millis(100));
    desk.seat(6, "demo");
}

#[test]
fn rooms_and_members_are_limited_and_come_free_again() {
    let config = Config { rooms_max: 2, members_max: 3, ..Config::default() };
    let mut desk = Desk::new(config);
    desk.seat(1, "a");
    desk.seat(2, "b");
    let full = |session: u64| [(session, json!({"refused": "server_full", "id": session}))];
    assert_eq!(told(&desk.join(3, "c").0), full(3), "no third room");
    desk.seat(3, "b");
    assert_eq!(told(&desk.join(4, "b").0), full(4), "no fourth member");
    desk.leave(1, LeaveReason::Left);
    desk.seat(4, "c");
}

#[test]
fn each_seat_has_credentials_of_its_own_that_the_relay_accepts_for_their_time() {
    let mut desk = desk();
    let mut seats = HashSet::new();
    for session in 1..=2 {
        let (outputs, given) = desk.join(session, "demo");
        let told = told(&outputs);
        let welcome = &told.last().unwrap().1;
        assert_eq!(welcome["ice_ttl_s"], 3600);
        let [stun, turn] = welcome["ice_servers"].as_array().unwrap().as_slice() else { panic!() };
        assert_eq!(stun, &json!({"urls": ["stun:192.0.2.1:3478"]}));
        let username = turn["username"].as_str().unwrap();
        assert_eq!(turn["credential"], password(&turn_key().secret, username));
        let name = Username::parse(username).unwrap();
        assert_eq!(name.expires.seconds, NOW.unix.seconds + 3600);
        let seat = SeatName::parse(name.holder).unwrap();
        assert_eq!((seat.room, seat.peer), ("demo", given.unwrap().peer.as_str()));
        assert!(seats.insert(seat.seat));
    }
}

#[test]
fn hubs_of_one_process_give_different_seat_numbers_and_peer_ids() {
    let hub = |number: u16| {
        let seed = signal_core::Seed { hub: number, random: [number as u8; 32] };
        let hub = signal_core::Hub::new(Config::default(), Some(turn_key()), &seed);
        Desk { hub, now: NOW }
    };
    let holder = |mut desk: Desk| {
        let (outputs, _) = desk.join(1, "demo");
        told(&outputs)[0].1["ice_servers"][1]["username"].as_str().unwrap().to_owned()
    };
    let (zero, one) = (holder(hub(0)), holder(hub(1)));
    let seat = |name: &str| {
        Username::parse(name).and_then(|name| SeatName::parse(name.holder).map(|seat| seat.seat))
    };
    let peer = |name: &str| name.split(':').nth(2).map(str::to_owned);
    assert_ne!(seat(&zero).unwrap(), seat(&one).unwrap());
    assert_ne!(peer(&zero).unwrap(), peer(&one).unwrap());
}

#[test]
fn signals_and_metadata_do_not_show_in_logs() {
    let secret = support::raw(r#"{"sdp":"10.1.2.3"}"#);
    let metadata = signal_core::Metadata::new(Some(&secret), 1024).unwrap();
    let to = PeerId::parse("bob").unwrap();
    let signal = signal_core::Signal { to, data: secret, id: None, ack: None };
    let mut desk = desk();
    let peer = desk.seat(1, "demo").peer;
    desk.seat(2, "demo");
    let outputs = desk.signal(2, &peer, r#""10.1.2.3""#);
    let shown = format!("{metadata:?} {signal:?} {outputs:?} {:?}", desk.hub);
    assert!(!shown.contains("10.1.2.3"), "{shown}");
}
