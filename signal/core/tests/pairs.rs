//! What members report of their links to each other: what is kept, counted and told of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::json;
use signal_core::protocol::{LeaveReason, Link};
use signal_core::{
    Config, Detached, Diagnose, Event, PairCounts, PairFacts, PairState, PeerId, Report, Request,
    diagnose,
};
use std::time::Duration;
use support::{Desk, room, told};

const CONNECTED: &str = r#"{"state":"connected","path":{"kind":"direct"}}"#;
const RELAYED: &str = r#"{"state":"connected","path":{"kind":"relayed"}}"#;
const FAILED: &str = r#"{"state":"failed"}"#;

fn desk() -> Desk {
    Desk::new(Config::default())
}

fn report(desk: &mut Desk, edge: u64, peer: &PeerId, text: &str) {
    let link = Box::new(Link::read(text, 2048).unwrap());
    let outputs = desk.handle(edge, Request::Report(Box::new(Report { peer: peer.clone(), link })));
    assert!(outputs.is_empty(), "nobody is told");
}

fn ask(desk: &mut Desk, edge: u64, peer: &PeerId) -> Vec<(u64, Event)> {
    let diagnose = Diagnose { peer: peer.clone(), id: Some(7) };
    desk.handle(edge, Request::Diagnose(Box::new(diagnose)))
}

#[track_caller]
fn facts(desk: &mut Desk, edge: u64, peer: &PeerId) -> PairFacts {
    match &ask(desk, edge, peer)[..] {
        [(to, Event::Facts(facts))] if *to == edge => (**facts).clone(),
        other => panic!("facts for the edge that asked, not {other:?}"),
    }
}

fn state(facts: &PairFacts) -> [Option<String>; 2] {
    let said = |report: &Option<(Duration, Link)>| {
        report.as_ref().map(|(age, link)| format!("{:?} {}", link.state.unwrap(), age.as_secs()))
    };
    [said(&facts.yours.report), facts.theirs.as_ref().and_then(|theirs| said(&theirs.report))]
}

#[test]
fn who_asks_is_told_the_newest_reports_of_both_and_their_age() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
    report(&mut desk, 1, &bob, FAILED);
    desk.at(Duration::from_secs(3));
    report(&mut desk, 1, &bob, CONNECTED);
    desk.at(Duration::from_secs(5));
    report(&mut desk, 2, &ada, FAILED);
    let of_ada = facts(&mut desk, 1, &bob);
    assert_eq!(state(&of_ada), [Some("Connected 2".to_owned()), Some("Failed 0".to_owned())]);
    assert_eq!((of_ada.id, of_ada.yours.peer.clone()), (Some(7), ada.clone()));
    assert!(of_ada.yours.has_turn);
    let of_bob = facts(&mut desk, 2, &ada);
    assert_eq!(state(&of_bob), [Some("Failed 0".to_owned()), Some("Connected 2".to_owned())]);
    assert_eq!(of_bob.yours.seat, of_ada.theirs.unwrap().seat);
}

#[test]
fn a_report_is_about_a_seat_and_not_about_who_has_the_id_next() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
    report(&mut desk, 1, &bob, CONNECTED);
    report(&mut desk, 2, &ada, CONNECTED);
    desk.leave(2, LeaveReason::Left);
    let eve = desk.seat(3, "demo").peer;
    assert_eq!(state(&facts(&mut desk, 1, &eve)), [None, None]);
    let gone = facts(&mut desk, 1, &bob);
    assert!(gone.theirs.is_none() && gone.metadata.is_none());
    assert_eq!(diagnose(gone, None).verdict.code(), "peer_left");
}

#[test]
fn the_hub_knows_for_how_long_somebody_is_away() {
    let mut desk = desk();
    let (_, bob) = (desk.seat(1, "demo"), desk.seat(2, "demo").peer);
    desk.at(Duration::from_secs(100));
    desk.detach(2, Detached::Lost);
    desk.at(Duration::from_secs(112));
    let facts = facts(&mut desk, 1, &bob);
    assert_eq!(facts.theirs.unwrap().away, Some(Duration::from_secs(12)));
    assert_eq!(facts.yours.away, None);
}

#[test]
fn a_report_about_nobody_is_ignored() {
    let mut desk = desk();
    let (ada, eve) = (desk.seat(1, "demo").peer, desk.seat(2, "other").peer);
    for peer in [&eve, &ada, &PeerId::parse("nobody").unwrap()] {
        report(&mut desk, 1, peer, CONNECTED);
    }
    assert_eq!(desk.hub.counts().pairs, PairCounts::default());
    let refused = json!({"refused": "no_such_peer", "id": 7});
    assert_eq!(told(&ask(&mut desk, 1, &ada)), [(1, refused)], "nobody has a link to itself");
}

#[test]
fn who_has_no_seat_reports_and_learns_nothing() {
    let mut desk = desk();
    let ada = desk.seat(1, "demo").peer;
    let link = Box::new(Link::default());
    let report = Request::Report(Box::new(Report { peer: ada.clone(), link }));
    let refused = json!({"refused": "hello_first", "id": null});
    assert_eq!(told(&desk.handle(9, report)), [(9, refused)]);
    let refused = json!({"refused": "hello_first", "id": 7});
    assert_eq!(told(&ask(&mut desk, 9, &ada)), [(9, refused)]);
}

#[test]
fn a_pair_is_counted_once_and_by_what_is_best_of_its_reports() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
    let mut after = |edge, peer: &PeerId, text| {
        report(&mut desk, edge, peer, text);
        desk.hub.counts().pairs
    };
    let none = PairCounts::default();
    assert_eq!(after(1, &bob, r#"{"state":"connecting"}"#), PairCounts { connecting: 1, ..none });
    assert_eq!(after(2, &ada, FAILED), PairCounts { failed: 1, ..none });
    assert_eq!(after(1, &bob, CONNECTED), PairCounts { direct: 1, ..none });
    assert_eq!(after(2, &ada, RELAYED), PairCounts { relayed: 1, ..none });
    let interrupted = r#"{"state":"interrupted"}"#;
    after(1, &bob, interrupted);
    assert_eq!(after(2, &ada, interrupted), PairCounts { interrupted: 1, ..none });
    assert_eq!(after(2, &ada, r#"{"state":"closed"}"#), none);
    assert_eq!(after(2, &ada, "{}"), PairCounts { interrupted: 1, ..none });
}

#[test]
fn what_was_said_of_a_pair_goes_with_either_seat() {
    for leaver in [1, 2] {
        let mut desk = desk();
        let (ada, bob) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
        let eve = desk.seat(3, "demo").peer;
        report(&mut desk, 1, &bob, CONNECTED);
        report(&mut desk, 2, &ada, CONNECTED);
        report(&mut desk, 2, &eve, RELAYED);
        report(&mut desk, 3, &ada, FAILED);
        desk.leave(leaver, LeaveReason::Left);
        let left = match leaver {
            1 => PairCounts { relayed: 1, ..PairCounts::default() },
            _ => PairCounts { failed: 1, ..PairCounts::default() },
        };
        assert_eq!(desk.hub.counts().pairs, left);
        desk.hub.handle_close_room(desk.now.time, &room("demo"));
        assert_eq!(desk.hub.counts().pairs, PairCounts::default());
    }
}

#[test]
fn the_oldest_report_is_forgotten_when_there_are_too_many() {
    let mut desk = Desk::new(Config { reports_max: 2, ..Config::default() });
    desk.seat(1, "demo");
    let others: Vec<_> = (2..5).map(|edge| desk.seat(edge, "demo").peer).collect();
    for peer in [&others[0], &others[1], &others[0], &others[2]] {
        report(&mut desk, 1, peer, CONNECTED);
    }
    assert_eq!(desk.hub.counts().pairs.direct, 2);
    let kept: Vec<_> =
        others.iter().map(|peer| facts(&mut desk, 1, peer).yours.report.is_some()).collect();
    assert_eq!(kept, [true, false, true], "the one that was renewed isn't the oldest");
}

#[test]
fn a_session_asks_for_one_diagnosis_a_second_after_a_few() {
    let mut desk = desk();
    desk.seat(1, "demo");
    let bob = desk.seat(2, "demo").peer;
    for _ in 0..4 {
        facts(&mut desk, 1, &bob);
    }
    let outputs = ask(&mut desk, 1, &bob);
    let [(1, Event::Refused { retry_after: Some(wait), .. })] = &outputs[..] else {
        panic!("too many: {outputs:?}")
    };
    assert_eq!(told(&outputs), [(1, json!({"refused": "rate_limited", "id": 7}))]);
    desk.at(*wait);
    facts(&mut desk, 1, &bob);
}

#[test]
fn an_operator_sees_each_pair_once() {
    let mut desk = desk();
    let (ada, bob) = (desk.seat(1, "demo").peer, desk.seat(2, "demo").peer);
    let eve = desk.seat(3, "demo").peer;
    report(&mut desk, 2, &ada, CONNECTED);
    report(&mut desk, 1, &bob, CONNECTED);
    report(&mut desk, 3, &ada, FAILED);
    report(&mut desk, 3, &bob, r#"{"state":"closed"}"#);
    let details = desk.hub.room_details(&room("demo"), 10).unwrap();
    let pairs: Vec<_> = details.pairs.into_iter().map(|pair| (pair.peers, pair.state)).collect();
    let expected = [([ada.clone(), bob], PairState::Direct), ([ada, eve], PairState::Failed)];
    assert_eq!(pairs, expected);
    assert_eq!(desk.hub.room_details(&room("demo"), 1).unwrap().pairs.len(), 1);
}
