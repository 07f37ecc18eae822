//! What becomes of a session whose connections come and go, one behaviour each.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use signal_core::protocol::LeaveReason;
use signal_core::{Config, Detached, EdgeId, Event, Purpose, Request, Resume, SessionKey};
use std::time::Duration;
use support::{Desk, Seat, told, told_plainly};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two in a room, by the edges 1 and 2, who have acknowledged everything.
fn pair() -> (Desk, Seat, Seat) {
    let mut desk = Desk::new(Config::default());
    let (ada, bob) = (desk.seat(1, "demo"), desk.seat(2, "demo"));
    desk.ack(1, 2);
    desk.ack(2, 1);
    (desk, ada, bob)
}

fn kinds(outputs: &[(u64, Event)]) -> Vec<(u64, String)> {
    let kind = |value: &Value| match value["type"].as_str() {
        Some(kind) => kind.to_owned(),
        None => value.to_string(),
    };
    told(outputs).iter().map(|(to, value)| (*to, kind(value))).collect()
}

#[test]
fn a_session_goes_on_behind_the_last_frame_that_came() {
    let (mut desk, ada, bob) = pair();
    desk.signal(1, &bob.peer, "1");
    desk.detach(2, Detached::Lost);
    for data in ["2", "3"] {
        assert!(desk.signal(1, &bob.peer, data).is_empty(), "nobody is there to be told");
    }
    let from = ada.peer.as_str();
    let signal = |seq: u64| json!({"seq": seq, "type": "signal", "from": from, "data": seq - 1});
    let resumed = json!({"type": "resumed", "ack": 0});
    assert_eq!(told(&desk.resume(3, &bob, 2)), [(3, resumed), (3, signal(3)), (3, signal(4)),]);
    assert_eq!(told(&desk.signal(1, &bob.peer, "4")), [(3, signal(5))]);
}

#[test]
fn what_came_but_was_not_acknowledged_is_not_sent_again_and_the_rest_is() {
    let (mut desk, _, bob) = pair();
    for data in ["1", "2", "3"] {
        desk.signal(1, &bob.peer, data);
    }
    // Without any end of the connection before: it still looks open.
    let outputs = desk.resume(3, &bob, 3);
    let seqs: Vec<_> =
        told(&outputs).iter().map(|(to, told)| (*to, told["seq"].as_u64())).collect();
    assert_eq!(kinds(&outputs)[0], (2, json!({"close": 4101}).to_string()), "taken over at once");
    assert_eq!(seqs[1..], [(3, None), (3, Some(4))]);
    assert!(
        desk.signal(2, &bob.peer, "1")
            .iter()
            .all(|(to, event)| { *to == 2 && matches!(event, Event::Refused { .. }) })
    );
    assert!(desk.detach(2, Detached::Lost).is_empty(), "its end ends nothing any more");
    assert_eq!(kinds(&desk.signal(1, &bob.peer, "4")), [(3, "signal".to_owned())]);
}

#[test]
fn a_seat_whose_welcome_never_came_is_taken_back_by_the_next_try() {
    let mut desk = Desk::new(Config { room_members_max: 2, ..Config::default() });
    let once = "0123456789abcdef";
    desk.seat(1, "demo");
    let ghost = desk.join_once(2, "demo", Some(once)).1.unwrap();
    desk.detach(2, Detached::Lost);
    assert!(desk.join_once(3, "demo", Some("another-try-of-somebody")).1.is_none(), "it is full");
    let (outputs, seat) = desk.join_once(4, "demo", Some(once));
    let left = json!({"type": "left", "peer": ghost.peer.as_str(), "reason": "lost"});
    assert_eq!(told_plainly(&outputs)[0], (1, left));
    assert_eq!(kinds(&outputs)[1..], [(1, "joined".to_owned()), (4, "welcome".to_owned())]);
    let refused = json!({"refused": "no_such_session", "id": null});
    assert_eq!(told(&desk.resume(5, &ghost, 0)), [(5, refused)]);
    // It has come: whoever says the same is somebody else.
    desk.ack(4, 1);
    desk.leave(1, LeaveReason::Left);
    let (outputs, other) = desk.join_once(6, "demo", Some(once));
    assert_eq!(kinds(&outputs)[0], (4, "joined".to_owned()));
    assert_ne!(other.unwrap().peer, seat.unwrap().peer);
    // Who asks twice on one connection loses nothing.
    let refused = json!({"refused": "already_joined", "id": 6});
    assert_eq!(told(&desk.join_once(6, "demo", Some(once)).0), [(6, refused)]);
}

#[test]
fn an_attempt_that_comes_late_changes_nothing() {
    let (mut desk, ada, bob) = pair();
    let mut attempt = |edge: u64, attempt: Option<u64>| {
        let (name, key) = (bob.name.clone(), bob.key);
        let purpose = Purpose::Listen { seq: 1, ice: support::ice(), is_oneway: false };
        let resume = Resume { name, key, attempt, purpose, id: None };
        desk.handle(edge, Request::Resume(Box::new(resume)))
    };
    let resumed = |edge: u64| (edge, "resumed".to_owned());
    let closed = |edge: u64| (edge, json!({"close": 4101}).to_string());
    let ack = (4, "ack".to_owned());
    assert_eq!(kinds(&attempt(4, Some(2))), [closed(2), resumed(4), ack]);
    assert_eq!(kinds(&attempt(3, Some(1))), [closed(3)], "the client has given it up");
    assert_eq!(kinds(&attempt(5, Some(2))), [closed(4), resumed(5)], "such as an EventSource");
    assert_eq!(kinds(&attempt(6, None)), [closed(5), resumed(6)], "who doesn't count is the last");
    assert_eq!(kinds(&attempt(7, Some(1))), [closed(7)]);
    assert!(!desk.hub.knows(EdgeId(3)) && !desk.hub.knows(EdgeId(7)));
    let signal = (6, "signal".to_owned());
    assert_eq!(kinds(&desk.signal(1, &bob.peer, "1")), [signal]);
    assert_eq!(kinds(&desk.signal(6, &ada.peer, "1")), [(1, "signal".to_owned())]);
}

#[test]
fn a_wrong_key_changes_nothing() {
    let (mut desk, ada, bob) = pair();
    desk.signal(1, &bob.peer, "1");
    let refused = [(3, json!({"refused": "no_such_session", "id": null}))];
    let stranger = Seat { key: SessionKey::from_random([0; 16]), ..bob.clone() };
    let elsewhere = Seat { name: support_name("other", &bob), ..bob.clone() };
    let swapped = Seat { key: ada.key, ..bob.clone() };
    for wrong in [&stranger, &elsewhere, &swapped] {
        for seq in [0, 2, 99] {
            assert_eq!(told(&desk.resume(3, wrong, seq)), refused);
        }
        assert_eq!(told(&desk.resume_as(3, wrong, Purpose::Send)), refused);
    }
    assert_eq!(kinds(&desk.signal(1, &bob.peer, "2")), [(2, "signal".to_owned())]);
    desk.detach(2, Detached::Lost);
    assert_eq!(kinds(&desk.resume(4, &bob, 1)).len(), 3, "both signals are still there");
}

fn support_name(room: &str, seat: &Seat) -> signal_core::SessionName {
    signal_core::SessionName { room: support::room(room), peer: seat.peer.clone() }
}

#[test]
fn the_others_see_who_is_away_back_and_gone() {
    let (mut desk, _, bob) = pair();
    let frame = |kind: &str| json!({"type": kind, "peer": bob.peer.as_str()});
    desk.detach(2, Detached::Lost);
    assert!(desk.at(ms(999)).is_empty());
    assert_eq!(told_plainly(&desk.at(ms(1000))), [(1, frame("away"))]);
    assert_eq!(told_plainly(&desk.resume(3, &bob, 1)).last(), Some(&(1, frame("back"))));
    assert!(desk.at(ms(60_000)).iter().all(|(to, _)| *to == 3), "that absence is over");

    desk.detach(3, Detached::Vanished);
    assert_eq!(told_plainly(&desk.drain()), [], "it was drained already");
    assert!(desk.at(ms(89_999)).is_empty());
    let left = json!({"type": "left", "peer": bob.peer.as_str(), "reason": "vanished"});
    assert_eq!(told_plainly(&desk.at(ms(90_000))), [(1, left)]);
    let refused = json!({"refused": "no_such_session", "id": null});
    assert_eq!(told(&desk.resume(4, &bob, 1)), [(4, refused)]);
    assert_eq!(desk.hub.counts().members, 1);
}

#[test]
fn who_vanishes_is_away_at_once_and_who_comes_back_at_once_disturbs_nobody() {
    let (mut desk, _, bob) = pair();
    let away = json!({"type": "away", "peer": bob.peer.as_str()});
    assert_eq!(told_plainly(&desk.detach(2, Detached::Vanished)), [(1, away)]);
    desk.resume(3, &bob, 1);
    desk.detach(3, Detached::Lost);
    assert!(desk.at(ms(500)).is_empty());
    assert_eq!(kinds(&desk.resume(4, &bob, 1)), [(4, "resumed".to_owned())]);
    // Between two polls there is no connection for a moment.
    desk.detach(4, Detached::Between);
    assert!(desk.at(ms(9000)).is_empty());
    assert_eq!(kinds(&desk.at(ms(9500))), [(1, "away".to_owned())]);
}

#[test]
fn a_newcomer_learns_who_is_away() {
    let (mut desk, ..) = pair();
    desk.detach(2, Detached::Vanished);
    let (outputs, _) = desk.join(3, "demo");
    let told = told(&outputs);
    let members = told.last().unwrap().1["members"].as_array().unwrap().clone();
    assert_eq!([&members[0]["away"], &members[1]["away"]], [&Value::Null, &json!(true)]);
}

#[test]
fn a_request_that_comes_twice_is_carried_out_once() {
    let (mut desk, _, bob) = pair();
    let signal = |desk: &mut Desk, id| desk.numbered_signal(1, &bob.peer, "1", Some(id));
    assert_eq!(kinds(&signal(&mut desk, 1)), [(2, "signal".to_owned())]);
    assert!(signal(&mut desk, 1).is_empty());
    let refused = json!({"refused": "out_of_order", "id": 3});
    assert_eq!(told(&signal(&mut desk, 3)), [(1, refused)]);
    assert_eq!(kinds(&signal(&mut desk, 2)), [(2, "signal".to_owned())]);
    assert_eq!(kinds(&signal(&mut desk, 3)), [(2, "signal".to_owned())]);
    assert_eq!(desk.hub.counts().signals, 3);
}

#[test]
fn a_client_that_resumes_learns_what_was_carried_out() {
    let (mut desk, ada, bob) = pair();
    desk.numbered_signal(1, &bob.peer, "1", Some(1));
    desk.numbered_signal(1, &bob.peer, "2", Some(2));
    desk.detach(1, Detached::Lost);
    let resumed = json!({"type": "resumed", "ack": 2});
    let ack = json!({"type": "ack", "ack": 2});
    assert_eq!(told(&desk.resume(3, &ada, 2)), [(3, resumed.clone()), (3, ack)]);
    assert_eq!(told(&desk.resume(4, &ada, 2))[1..], [(4, resumed)], "it was told");
}

#[test]
fn an_acknowledgement_comes_behind_the_refusal_of_what_it_is_about() {
    let nobody = signal_core::PeerId::parse("nobody").unwrap();
    let (mut desk, ada, bob) = pair();
    for id in 1..32 {
        desk.numbered_signal(1, &bob.peer, "1", Some(id));
    }
    let refused = |outputs: &[(u64, Event)]| -> Vec<_> {
        let of_ada = told(outputs).into_iter().filter(|(to, _)| *to != 2);
        of_ada.map(|(_, told)| (told["type"].clone(), told["ack"].clone())).collect()
    };
    // The one after which it is told of all at once.
    let outputs = desk.numbered_signal(1, &nobody, "1", Some(32));
    assert_eq!(refused(&outputs), [(json!("error"), json!(32))]);

    // By requests: it is told where it listens, and at once.
    desk.resume_as(3, &ada, Purpose::Send);
    let outputs = desk.numbered_signal(3, &nobody, "1", Some(33));
    assert_eq!(refused(&outputs), [(json!("error"), json!(33))]);
    desk.numbered_signal(3, &bob.peer, "1", Some(34));
    let outputs = told(&desk.detach(3, Detached::Between));
    let ack = |to: u64, ack: u64| (to, json!({"type": "ack", "ack": ack}));
    assert_eq!(outputs, [ack(1, 34), (3, json!({"done": 34}))]);

    // After a resume: behind what it missed, and again if that was lost with its connection.
    desk.detach(1, Detached::Lost);
    for edge in [4, 5] {
        let (name, key) = (ada.name.clone(), ada.key);
        let purpose = Purpose::Listen { seq: 3, ice: support::ice(), is_oneway: false };
        let attempt = Some(edge);
        let resume = Resume { name, key, attempt, purpose, id: None };
        let outputs = desk.handle(edge, Request::Resume(Box::new(resume)));
        let frames = told(&outputs).into_iter().filter(|(to, _)| *to == edge);
        let frames: Vec<_> =
            frames.map(|(_, told)| (told["type"].clone(), told["id"].clone())).collect();
        let of = |kind: &str, id: Value| (json!(kind), id);
        let (none, late) = (Value::Null, json!(33));
        assert_eq!(frames, [of("resumed", none.clone()), of("error", late), of("ack", none)]);
        desk.detach(edge, Detached::Lost);
    }
}

#[test]
fn who_polls_is_told_all_that_there_is_when_a_poll_ends() {
    let (mut desk, ada, bob) = pair();
    desk.resume(3, &ada, 2);
    desk.numbered_signal(3, &bob.peer, "1", Some(1));
    let ack = json!({"type": "ack", "ack": 1});
    assert_eq!(told(&desk.detach(3, Detached::Between)), [(3, ack), (3, json!({"done": 1}))]);
}

#[test]
fn requests_are_acknowledged_after_a_while_or_with_whatever_comes_before() {
    let (mut desk, ada, bob) = pair();
    let mut id = 0;
    let mut signal = |desk: &mut Desk| {
        id += 1;
        desk.numbered_signal(1, &bob.peer, "1", Some(id))
    };
    signal(&mut desk);
    signal(&mut desk);
    assert!(desk.at(ms(1999)).is_empty());
    assert_eq!(told(&desk.at(ms(2000))), [(1, json!({"type": "ack", "ack": 2}))]);
    assert!(desk.at(ms(10_000)).is_empty(), "there is no news");

    signal(&mut desk);
    let answer = told(&desk.signal(2, &ada.peer, "0"));
    assert_eq!((answer[0].0, &answer[0].1["ack"]), (1, &json!(3)));
    assert!(desk.at(ms(20_000)).is_empty(), "it knows");

    let acks: Vec<_> = (0..32).flat_map(|_| told(&signal(&mut desk))).collect();
    let acks: Vec<_> = acks.into_iter().filter(|(to, _)| *to == 1).collect();
    assert_eq!(acks, [(1, json!({"type": "ack", "ack": 35}))]);
}

#[test]
fn a_refusal_of_a_numbered_request_is_not_lost() {
    let (mut desk, ada, _) = pair();
    let nobody = signal_core::PeerId::parse("nobody").unwrap();
    let is_error = |value: &Value, seq: u64, id: u64, code: &str| {
        let fields = ["type", "seq", "id", "code"].map(|field| &value[field]);
        assert_eq!(fields, [&json!("error"), &json!(seq), &json!(id), &json!(code)]);
    };
    let told_once = told(&desk.numbered_signal(1, &nobody, "1", Some(1)));
    is_error(&told_once[0].1, 3, 1, "no_such_peer");
    let (code, text) = (signal_core::protocol::ErrorCode::UnknownType, "what?".to_owned());
    desk.handle(1, Request::Unreadable { id: 2, code, text });
    desk.detach(1, Detached::Lost);
    let told = told(&desk.resume(3, &ada, 2));
    is_error(&told[1].1, 3, 1, "no_such_peer");
    is_error(&told[2].1, 4, 2, "unknown_type");
}

#[test]
fn senders_learn_what_never_came() {
    let (mut desk, _, bob) = pair();
    desk.numbered_signal(1, &bob.peer, "1", Some(1));
    desk.ack(2, 2);
    desk.numbered_signal(1, &bob.peer, "2", Some(2));
    desk.signal(1, &bob.peer, "3");
    desk.detach(2, Detached::Lost);
    desk.numbered_signal(1, &bob.peer, "4", Some(3));
    let told: Vec<_> = told(&desk.at(ms(30_000)))
        .into_iter()
        .filter(|(_, value)| value["type"] == "left" || value["type"] == "error")
        .map(|(to, value)| (to, value["code"].clone(), value["id"].clone()))
        .collect();
    let undelivered = |id: u64| (1, json!("undelivered"), json!(id));
    assert_eq!(told, [(1, Value::Null, Value::Null), undelivered(2), undelivered(3)]);
    assert_eq!(desk.hub.counts().undelivered, 2);
}

#[test]
fn who_does_not_acknowledge_loses_the_session_and_everybody_learns_it() {
    let (mut desk, _, bob) = pair();
    for _ in 0..256 {
        assert_eq!(desk.signal(1, &bob.peer, "1").len(), 1);
    }
    let left = json!({"type": "left", "peer": bob.peer.as_str(), "reason": "slow"});
    assert_eq!(
        told_plainly(&desk.signal(1, &bob.peer, "1")),
        [(2, json!({"close": 4001})), (1, left)]
    );
    assert_eq!(desk.hub.counts().slow, 1);
    let refused = json!({"refused": "no_such_session", "id": null});
    assert_eq!(told(&desk.resume(3, &bob, 257)), [(3, refused)]);
}

#[test]
fn bytes_that_are_not_acknowledged_are_limited_too_also_of_who_is_away() {
    let (mut desk, _, bob) = pair();
    desk.detach(2, Detached::Lost);
    let large = format!("\"{}\"", "x".repeat(60_000));
    for _ in 0..4 {
        assert!(desk.signal(1, &bob.peer, &large).is_empty());
    }
    let told = told_plainly(&desk.signal(1, &bob.peer, &large));
    assert_eq!(told, [(1, json!({"type": "left", "peer": bob.peer.as_str(), "reason": "slow"}))]);
}

#[test]
fn an_edge_with_too_much_in_front_of_it_ends_its_session_and_whom_that_brings_over_the_limit() {
    let (mut desk, ada, bob) = pair();
    desk.seat(3, "demo");
    for _ in 0..255 {
        desk.signal(3, &bob.peer, "1");
    }
    desk.hub.handle_full_edge(desk.now.time, EdgeId(3));
    let closed = |(edge, value): &(u64, Value)| value["close"].is_number().then_some(*edge);
    assert_eq!(told(&desk.drain()).iter().filter_map(closed).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(desk.hub.roster(&support::room("demo")).collect::<Vec<_>>(), [&ada.peer]);
}

#[test]
fn timers_go_with_what_they_are_for() {
    let timers = |desk: &Desk| format!("{:?}", desk.hub).matches("Timer {").count();
    let mut desk = Desk::new(Config::default());
    let mut ada = desk.seat(1, "demo");
    for edge in 2..2000 {
        desk.seat(edge, "other");
        desk.leave(edge, LeaveReason::Left);
    }
    assert!(timers(&desk) < 100, "of sessions: {}", timers(&desk));
    for edge in 2001..4000 {
        desk.detach(if edge == 2001 { 1 } else { edge - 1 }, Detached::Lost);
        desk.resume(edge, &ada, 1);
    }
    assert!(timers(&desk) < 100, "of absences: {}", timers(&desk));
    for edge in 4001..6000 {
        desk.resume_as(
            edge,
            &ada,
            Purpose::Listen { seq: 1, ice: support::ice(), is_oneway: true },
        );
    }
    assert!(timers(&desk) < 100, "of listeners: {}", timers(&desk));
    ada = desk.seat(4000, "demo");
    for id in 1..2000 {
        desk.numbered_signal(5999, &ada.peer, "1", Some(id));
        desk.ack(4000, id);
    }
    assert!(timers(&desk) < 100, "of acknowledgements: {}", timers(&desk));
    desk.leave(5999, LeaveReason::Left);
    desk.leave(4000, LeaveReason::Left);
    assert_eq!(desk.hub.poll_timeout(), None);
}

#[test]
fn a_resume_that_cannot_be_complete_gives_the_whole_state() {
    let (mut desk, ada, bob) = pair();
    desk.numbered_signal(1, &bob.peer, "1", Some(1));
    desk.numbered_signal(2, &ada.peer, "1", Some(1));
    desk.ack(2, 2);
    desk.numbered_signal(1, &bob.peer, "2", Some(2));
    for (edge, seq) in [(3, 1), (4, 99)] {
        desk.detach(edge - 1, Detached::Lost);
        let told = told(&desk.resume(edge, &bob, seq));
        let (_, resync) = told.iter().find(|(to, _)| *to == edge).unwrap();
        assert_eq!((&resync["type"], &resync["ack"]), (&json!("resync"), &json!(1)));
        assert_eq!(resync["members"][0]["peer"], ada.peer.as_str());
        assert_eq!(resync["seq"], edge + 1);
    }
    let errors = desk.hub.counts().undelivered;
    assert_eq!(errors, 1, "what it hadn't got is told to its sender");
    assert_eq!(desk.hub.counts().resyncs, 2);
    assert_eq!(told(&desk.signal(1, &bob.peer, "3"))[0].1["seq"], 6);
}

#[test]
fn a_connection_may_only_send() {
    let (mut desk, ada, bob) = pair();
    assert!(told(&desk.resume_as(3, &ada, Purpose::Send)).is_empty());
    let told = told(&desk.numbered_signal(3, &bob.peer, "1", Some(1)));
    assert_eq!(told[0].1["data"], 1);
    let goodbye = [(1, json!({"type": "ack", "ack": 1})), (3, json!({"done": 1}))];
    assert_eq!(support::told(&desk.detach(3, Detached::Between)), goodbye);
    assert!(desk.at(ms(40_000)).is_empty(), "the session goes on");
    desk.resume_as(4, &ada, Purpose::Send);
    let outputs = desk.leave(4, LeaveReason::Left);
    assert_eq!(kinds(&outputs), [(1, json!({"close": 1000}).to_string()), (2, "left".to_owned())]);
}

#[test]
fn who_only_sends_is_answered_and_the_listener_too_since_the_answer_may_get_lost() {
    let (mut desk, ada, bob) = pair();
    desk.resume_as(3, &ada, Purpose::Send);
    desk.numbered_signal(3, &bob.peer, "1", Some(1));
    let ack = json!({"type": "ack", "ack": 1});
    assert_eq!(told(&desk.detach(3, Detached::Lost)), [(1, ack), (3, json!({"done": 1}))]);
    assert!(desk.at(ms(2000)).is_empty(), "it knows");
}

#[test]
fn a_connection_that_only_sends_ends_with_its_session() {
    let (mut desk, ada, bob) = pair();
    for edge in [3, 4] {
        desk.resume_as(edge, &ada, Purpose::Send);
    }
    desk.detach(4, Detached::Between);
    let outputs = desk.leave(1, LeaveReason::Left);
    assert_eq!(kinds(&outputs), [(3, json!({"close": 1000}).to_string()), (2, "left".to_owned())]);
    // The seat's place is taken again, but not by who had a connection to the one before.
    desk.seat(5, "demo");
    for edge in [3, 4] {
        let refused = json!({"refused": "hello_first", "id": 1});
        assert_eq!(told(&desk.numbered_signal(edge, &bob.peer, "1", Some(1))), [(edge, refused)]);
        assert!(desk.leave(edge, LeaveReason::Left).is_empty());
    }
}

#[test]
fn who_only_listens_must_show_life_by_other_connections() {
    let (mut desk, _, bob) = pair();
    let listen = Purpose::Listen { seq: 1, ice: support::ice(), is_oneway: true };
    desk.resume_as(3, &bob, listen);
    desk.at(ms(5_000));
    desk.resume_as(4, &bob, Purpose::Send);
    desk.detach(4, Detached::Between);
    assert!(desk.at(ms(13_999)).is_empty());
    let told = told_plainly(&desk.at(ms(14_000)));
    let away = json!({"type": "away", "peer": bob.peer.as_str()});
    assert_eq!(told, [(3, json!({"close": 4002})), (1, away)]);
    desk.resume(5, &bob, 1);
    assert!(desk.at(ms(60_000)).is_empty(), "another kind of connection shows it by itself");
}

#[test]
fn credentials_are_renewed_before_they_expire_and_as_long_as_the_session_lasts() {
    let (mut desk, ada, _) = pair();
    let expiry = |told: &Value| -> u64 {
        let username = told["ice_servers"][1]["username"].as_str().unwrap();
        username.split(':').next().unwrap().parse().unwrap()
    };
    let start = support::NOW.unix.seconds;
    assert!(desk.at(ms(2_699_999)).is_empty());
    for (edge, seq, (to, ice)) in
        (1..).zip([3, 2]).zip(told(&desk.at(ms(2_700_000)))).map(|((e, s), t)| (e, s, t))
    {
        assert_eq!((to, &ice["type"], &ice["seq"]), (edge, &json!("ice"), &json!(seq)));
        assert_eq!((expiry(&ice), &ice["ice_ttl_s"]), (start + 2700 + 3600, &json!(3600)));
        desk.ack(edge, seq);
    }
    desk.leave(2, LeaveReason::Left);
    let again = told(&desk.at(ms(5_400_000)));
    assert_eq!((again.len(), expiry(&again[0].1)), (1, start + 5400 + 3600));
    let turn = again[0].1["ice_servers"][1]["username"].as_str().unwrap();
    assert!(turn.contains(ada.peer.as_str()), "of the same seat");
}
