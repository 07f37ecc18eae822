//! What follows from what tokens permit: peer ids, roles, and the end when one expires.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::Time;
use serde_json::{Value, json};
use signal_core::protocol::LeaveReason;
use signal_core::{
    AtExpiry, Config, Departure, Detached, Event, Grant, Happening, Hold, NewRoom, PeerId,
    PeerTaken, Purpose, Renew, Request, Role, Token,
};
use std::sync::Arc;
use std::time::Duration;
use support::{Desk, Seat, Visit, told, told_plainly};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Option<Time> {
    Some(Time::after_start(s(seconds)))
}

fn named(peer: &str) -> Grant {
    Grant { peer: Some(PeerId::parse(peer).unwrap()), ..Grant::default() }
}

fn until(seconds: u64) -> Grant {
    Grant { subject: Some("ada".into()), expires: at(seconds), ..Grant::default() }
}

fn seat(desk: &mut Desk, edge: u64, room: &str, grant: Grant) -> Seat {
    desk.join_with(edge, room, Some(grant)).1.expect("a seat")
}

fn renew(desk: &mut Desk, edge: u64, grant: Grant) -> Vec<(u64, Value)> {
    let (token, grant) = (Token::new("a.b.c"), Some(Box::new(grant)));
    told(&desk.handle(edge, Request::Renew(Box::new(Renew { token, grant, id: Some(5) }))))
}

/// What one edge was told.
fn only(outputs: &[(u64, Event)], edge: u64) -> Vec<Value> {
    let told = told_plainly(outputs).into_iter().filter(|(to, _)| *to == edge);
    told.map(|(_, value)| value).collect()
}

fn last_departure(desk: &mut Desk) -> Departure {
    let departures = desk.happenings().into_iter().filter_map(|happening| match happening {
        Happening::Left(departure) => Some(departure),
        Happening::RoomOpened(_) | Happening::Joined(_) | Happening::RoomClosed(_) => None,
    });
    departures.last().expect("somebody has left")
}

#[test]
fn a_token_gives_a_peer_its_id_and_role() {
    let mut desk = Desk::new(Config::default());
    let grant = Grant { role: Some(Role::parse("host").unwrap()), ..named("ada") };
    let (outputs, ada) = desk.join_with(1, "demo", Some(grant));
    let welcome = &only(&outputs, 1)[0];
    assert_eq!((&welcome["peer"], &welcome["role"]), (&json!("ada"), &json!("host")));
    assert_eq!(welcome.get("token_ttl_s"), None);
    let (outputs, _) = desk.join(2, "demo");
    assert_eq!(only(&outputs, 2)[0]["members"][0]["role"], "host");
    assert_eq!(only(&outputs, 1)[0].get("role"), None, "the other has none");

    let outputs = desk.signal(2, &ada.unwrap().peer, "7");
    assert_eq!(only(&outputs, 1)[0]["data"], 7, "it is reached by this id");
}

#[test]
fn the_same_id_in_another_room_is_somebody_else() {
    let mut desk = Desk::new(Config::default());
    let here = seat(&mut desk, 1, "here", named("ada"));
    let there = seat(&mut desk, 2, "there", named("ada"));
    desk.seat(3, "there");
    let outputs = desk.signal(3, &here.peer, "7");
    assert_eq!((only(&outputs, 2).len(), only(&outputs, 1).len()), (1, 0));
    desk.leave(2, LeaveReason::Left);
    assert_eq!(told(&desk.signal(3, &there.peer, "7"))[0].1["refused"], "no_such_peer");
    let outputs = desk.resume(4, &here, 1);
    assert_eq!(only(&outputs, 4)[0]["type"], "resumed", "the one here is still there");
}

#[test]
fn an_id_that_is_taken_is_refused_until_it_is_free() {
    let mut desk = Desk::new(Config::default());
    seat(&mut desk, 1, "demo", named("ada"));
    let (outputs, none) = desk.join_with(2, "demo", Some(named("ada")));
    assert_eq!(
        (only(&outputs, 2)[0]["refused"].clone(), none.is_none()),
        (json!("peer_taken"), true)
    );
    assert!(only(&outputs, 1).is_empty(), "who has it isn't disturbed");
    desk.detach(1, Detached::Lost);
    assert!(desk.join_with(2, "demo", Some(named("ada"))).1.is_none(), "it may come back");
    desk.at(s(30));
    seat(&mut desk, 2, "demo", named("ada"));
}

#[test]
fn an_id_of_somebody_without_a_token_is_taken_too() {
    let mut desk = Desk::new(Config::default());
    let ada = desk.seat(1, "demo");
    let (outputs, _) = desk.join_with(2, "demo", Some(named(ada.peer.as_str())));
    assert_eq!(only(&outputs, 2)[0]["refused"], "peer_taken");
}

#[test]
fn who_is_replaced_makes_room_for_the_one_that_comes() {
    let config = Config {
        peer_taken: PeerTaken::Replace,
        room_members_max: 2,
        members_max: 2,
        ..Config::default()
    };
    let mut desk = Desk::new(config);
    let before = seat(&mut desk, 1, "demo", named("ada"));
    desk.seat(2, "demo");
    let (outputs, _) = desk.join_with(3, "demo", Some(named("ada")));
    assert_eq!(only(&outputs, 1), [json!({"close": 4101})]);
    let others = only(&outputs, 2);
    assert_eq!(others[0], json!({"type": "left", "peer": "ada", "reason": "replaced"}));
    assert_eq!((&others[1]["type"], &others[1]["peer"]), (&json!("joined"), &json!("ada")));
    assert_eq!(only(&outputs, 3)[0]["type"], "welcome");
    assert!(last_departure(&mut desk).is_for_good());
    let outputs = desk.resume(4, &before, 1);
    assert_eq!(only(&outputs, 4)[0]["refused"], "no_such_session");
    let outputs = desk.join(5, "demo").0;
    assert_eq!(only(&outputs, 5)[0]["refused"], "room_full");
}

#[test]
fn a_host_that_is_replaced_by_its_own_token_makes_one_new_term() {
    let mut desk = Desk::new(Config { peer_taken: PeerTaken::Replace, ..Config::default() });
    let born = Grant { role: Role::parse("host").ok(), ..named("ada") };
    let create = Some(NewRoom { hosted: true, ..NewRoom::default() });
    let visit =
        |grant: &Grant, create| Visit { grant: Some(grant.clone()), create, ..Visit::default() };
    desk.visit(1, "demo", visit(&born, create));
    desk.happenings();
    // Alone, and beside somebody who could be the host.
    let (outputs, _) = desk.visit(2, "demo", visit(&born, None));
    let about = &only(&outputs, 2)[0]["about"];
    assert_eq!((&about["host"], &about["term"]), (&json!("ada"), &json!(2)));
    let is_end = |happening: &Happening| matches!(happening, Happening::RoomClosed(_));
    assert!(!desk.happenings().iter().any(is_end), "the room stays");

    desk.seat(3, "demo");
    let (outputs, _) = desk.visit(4, "demo", visit(&born, None));
    let about = &only(&outputs, 4)[0]["about"];
    assert_eq!((&about["host"], &about["term"]), (&json!("ada"), &json!(3)));
    let others = only(&outputs, 3);
    let kinds: Vec<_> = others.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["left", "joined", "host"]);
    assert_eq!(others[2], json!({"type": "host", "peer": "ada", "term": 3}));
}

#[test]
fn a_host_that_is_replaced_is_followed_by_the_one_that_is_there_for_longest() {
    let mut desk = Desk::new(Config { peer_taken: PeerTaken::Replace, ..Config::default() });
    let create = Some(NewRoom { hosted: true, ..NewRoom::default() });
    let first = Visit { grant: Some(named("ada")), create, ..Visit::default() };
    desk.visit(1, "demo", first);
    let bob = desk.seat(2, "demo");
    let (outputs, _) = desk.join_with(3, "demo", Some(named("ada")));
    let about = &only(&outputs, 3)[0]["about"];
    assert_eq!((&about["host"], &about["term"]), (&json!(bob.peer.as_str()), &json!(2)));
    assert_eq!(only(&outputs, 2)[2]["term"], 2);
}

#[test]
fn a_session_ends_when_its_token_expires() {
    let mut desk = Desk::new(Config::default());
    let (outputs, ada) = desk.join_with(1, "demo", Some(until(600)));
    assert_eq!(only(&outputs, 1)[0]["token_ttl_s"], 600);
    desk.seat(2, "demo");
    assert!(only(&desk.at(s(599)), 1).is_empty());
    let outputs = desk.at(s(600));
    assert_eq!(only(&outputs, 1), [json!({"close": 4102})]);
    assert_eq!(only(&outputs, 2)[0]["reason"], "expired");
    assert!(last_departure(&mut desk).is_for_good());
    let outputs = desk.resume(3, &ada.unwrap(), 1);
    assert_eq!(only(&outputs, 3)[0]["refused"], "no_such_session");
}

#[test]
fn a_token_expires_while_its_session_has_no_connection() {
    let mut desk = Desk::new(Config::default());
    let ada = seat(&mut desk, 1, "demo", until(10));
    desk.at(s(9));
    desk.detach(1, Detached::Lost);
    desk.at(s(10));
    assert_eq!(only(&desk.resume(2, &ada, 1), 2)[0]["refused"], "no_such_session");
}

#[test]
fn a_newer_token_lets_it_go_on() {
    let mut desk = Desk::new(Config::default());
    let ada = seat(&mut desk, 1, "demo", until(600));
    desk.at(s(500));
    let answer = json!({"type": "token", "id": 5, "expires_in_s": 600});
    assert_eq!(renew(&mut desk, 1, until(1100))[0], (1, answer));
    assert!(only(&desk.at(s(1099)), 1).is_empty());
    assert_eq!(only(&desk.at(s(1100)), 1), [json!({"close": 4102})]);
    assert_eq!(told(&desk.handle(1, Request::Ack(1)))[0].1["refused"], "hello_first");
    let _ = ada;
}

#[test]
fn a_newer_token_may_come_on_a_connection_that_only_sends_and_may_never_expire() {
    let mut desk = Desk::new(Config::default());
    let ada = seat(&mut desk, 1, "demo", until(600));
    desk.resume_as(2, &ada, Purpose::Send);
    let without_end = Grant { expires: None, ..until(0) };
    assert_eq!(renew(&mut desk, 2, without_end)[0], (2, json!({"type": "token", "id": 5})));
    assert!(only(&desk.at(s(10_000)), 1).iter().all(|frame| frame.get("close").is_none()));
}

/// When the newest TURN credentials that this edge was told of end, and for how long they are good
/// as it was told; in seconds from the start.
fn credentials(outputs: &[(u64, Event)], edge: u64) -> Option<(u64, u64)> {
    let told = only(outputs, edge);
    let told = told.iter().rfind(|frame| frame.get("ice_servers").is_some())?;
    let username = told["ice_servers"][1]["username"].as_str().unwrap();
    let end: u64 = username.split(':').next().unwrap().parse().unwrap();
    Some((end - support::NOW.unix.seconds, told["ice_ttl_s"].as_u64().unwrap()))
}

/// The number of the last frame that this edge was told.
fn last_seq(outputs: &[(u64, Event)], edge: u64) -> Option<u64> {
    let own = told(outputs).into_iter().filter(|(to, _)| *to == edge);
    own.filter_map(|(_, frame)| frame["seq"].as_u64()).next_back()
}

#[test]
fn credentials_end_with_the_token_and_are_renewed_with_it() {
    let mut desk = Desk::new(Config::default());
    let (outputs, _) = desk.join_with(1, "demo", Some(until(600)));
    assert_eq!(credentials(&outputs, 1), Some((600, 600)));
    let (outputs, _) = desk.join(2, "demo");
    assert_eq!(credentials(&outputs, 2), Some((3600, 3600)), "without a token");
    assert_eq!(credentials(&desk.at(s(500)), 1), None, "there is nothing newer to be had");
    let renewal =
        Renew { token: Token::new("a.b.c"), grant: Some(Box::new(until(5000))), id: Some(5) };
    let outputs = desk.handle(1, Request::Renew(Box::new(renewal)));
    let kinds: Vec<_> = only(&outputs, 1).iter().map(|frame| frame["type"].clone()).collect();
    assert_eq!(kinds, ["token", "ice"]);
    assert_eq!(credentials(&outputs, 1), Some((4100, 3600)), "at once, and as long as any");
    let outputs = desk.at(s(500 + 2700));
    assert_eq!(credentials(&outputs, 1), Some((5000, 1800)), "the last ones of this token");
    let rest = desk.at(s(5000));
    assert_eq!((credentials(&rest, 1), only(&rest, 1).len()), (None, 1), "only its end");
}

#[test]
fn who_renews_its_token_always_has_credentials_and_none_that_outlive_it() {
    for token_s in [2, 10, 600, 2699, 2700, 2701, 3600, 4000, 10_000] {
        let mut desk = Desk::new(Config::default());
        let mut end = token_s;
        let (outputs, _) = desk.join_with(1, "demo", Some(until(end)));
        let mut own = credentials(&outputs, 1).unwrap();
        for round in 1..40 {
            let now = round * (token_s / 2);
            let mut outputs = desk.at(s(now));
            assert!(own.0 > now || credentials(&outputs, 1).is_some(), "{token_s}: at {now}");
            end = now + token_s;
            let (token, grant) = (Token::new("a.b.c"), Some(Box::new(until(end))));
            let renew = Renew { token, grant, id: None };
            outputs.extend(desk.handle(1, Request::Renew(Box::new(renew))));
            if let Some(seq) = last_seq(&outputs, 1) {
                desk.ack(1, seq);
            }
            own = credentials(&outputs, 1).unwrap_or(own);
            assert!(own.0 > now && own.0 <= end, "{token_s}: at {now} until {}", own.0);
        }
    }
}

#[test]
fn where_a_session_outlives_its_token_so_do_its_credentials() {
    let mut desk = Desk::new(Config { at_expiry: AtExpiry::Keep, ..Config::default() });
    let (outputs, _) = desk.join_with(1, "demo", Some(until(600)));
    assert_eq!(credentials(&outputs, 1), Some((3600, 3600)));
    assert_eq!(credentials(&desk.at(s(2700)), 1), Some((6300, 3600)));
}

#[test]
fn a_token_of_somebody_else_renews_nothing() {
    let mut desk = Desk::new(Config::default());
    let own = Grant { subject: Some("ada".into()), expires: at(600), ..named("ada-1") };
    seat(&mut desk, 1, "demo", own.clone());
    for other in [
        Grant { subject: Some("bob".into()), ..own.clone() },
        Grant { subject: None, ..own.clone() },
        Grant { peer: named("ada-2").peer, ..own.clone() },
    ] {
        let other = Grant { expires: at(6000), ..other };
        let refused = json!({"refused": "forbidden", "id": 5});
        assert_eq!(renew(&mut desk, 1, other), [(1, refused)]);
    }
    let any_peer = Grant { peer: None, expires: at(700), ..own };
    assert_eq!(renew(&mut desk, 1, any_peer)[0].1["expires_in_s"], 700);
    assert!(only(&desk.at(s(699)), 1).iter().all(|frame| frame.get("close").is_none()));
    assert_eq!(only(&desk.at(s(700)), 1), [json!({"close": 4102})]);
}

#[test]
fn a_session_may_outlive_its_token_but_not_come_back() {
    let mut desk = Desk::new(Config { at_expiry: AtExpiry::Keep, ..Config::default() });
    let ada = seat(&mut desk, 1, "demo", until(600));
    let bob = desk.seat(2, "demo");
    assert!(only(&desk.at(s(700)), 1).is_empty());
    assert_eq!(only(&desk.signal(1, &bob.peer, "7"), 2)[0]["data"], 7);
    // Another connection takes over from one that still looks open.
    assert_eq!(only(&desk.resume(3, &ada, 1), 3)[0]["type"], "resumed");
    // Between two polls it isn't away.
    desk.detach(3, Detached::Between);
    desk.at(s(705));
    assert_eq!(only(&desk.resume(4, &ada, 1), 4)[0]["type"], "resumed");
    desk.detach(4, Detached::Lost);
    desk.at(s(707));
    assert_eq!(only(&desk.resume(5, &ada, 1), 5), [json!({"refused": "unauthorized", "id": null})]);
}

#[test]
fn a_renewed_session_may_come_back() {
    let mut desk = Desk::new(Config { at_expiry: AtExpiry::Keep, ..Config::default() });
    let ada = seat(&mut desk, 1, "demo", until(600));
    desk.at(s(700));
    renew(&mut desk, 1, until(1000));
    desk.detach(1, Detached::Lost);
    desk.at(s(710));
    assert_eq!(only(&desk.resume(2, &ada, 1), 2)[0]["type"], "resumed");
}

#[test]
fn a_token_is_not_shown() {
    let renew = Renew { token: Token::new("a.b.c"), grant: None, id: None };
    let renew = Request::Renew(Box::new(renew));
    let shown = format!("{renew:?}");
    assert!(shown.contains("Token(5 bytes)") && !shown.contains("a.b.c"), "{shown}");
}

#[test]
fn what_a_grant_holds_is_dropped_with_the_seat() {
    let mut desk = Desk::new(Config { room_members_max: 1, ..Config::default() });
    let held = Arc::new(());
    let grant = || Grant { hold: Some(Hold::new(held.clone())), ..until(600) };
    seat(&mut desk, 1, "demo", grant());
    assert!(desk.join_with(2, "demo", Some(grant())).1.is_none());
    assert_eq!(Arc::strong_count(&held), 2, "who is refused holds nothing");
    renew(&mut desk, 1, grant());
    assert_eq!(Arc::strong_count(&held), 2, "a newer token is for the same seat");
    desk.at(s(600));
    assert_eq!(Arc::strong_count(&held), 1);
}
