//! What rooms keep beside their members, one behaviour each: rules, state, hosts, broadcasts,
//! history.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use heliograph_base::Now;
use serde_json::{Value, json};
use signal_core::protocol::{ErrorCode, LeaveReason, RulesPatch, Writers};
use signal_core::{
    Audience, Config, Detached, Event, Grant, Happening, NewRoom, Password, PeerId, Role,
    RoomAction,
};
use std::time::Duration;
use support::{Desk, Seat, Visit, raw, room, told, told_plainly};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn hosted() -> NewRoom {
    NewRoom { hosted: true, ..NewRoom::default() }
}

/// Three in a hosted room, by the edges 1, 2 and 3.
fn three(new: NewRoom) -> (Desk, [Seat; 3]) {
    let mut desk = Desk::new(Config::default());
    let first = Visit { create: Some(new), ..Visit::default() };
    let ada = desk.visit(1, "demo", first).1.unwrap();
    let (bob, carol) = (desk.seat(2, "demo"), desk.seat(3, "demo"));
    (desk, [ada, bob, carol])
}

/// What one edge was told, without numbers.
fn to(outputs: &[(u64, Event)], edge: u64) -> Vec<Value> {
    let told = told_plainly(outputs).into_iter().filter(|(to, _)| *to == edge);
    told.map(|(_, value)| value).collect()
}

fn refusal(outputs: &[(u64, Event)], edge: u64) -> String {
    match &to(outputs, edge)[..] {
        [only] => only.get("refused").or(only.get("code")).unwrap().as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn say(desk: &mut Desk, edge: u64, data: &str, to: Audience) -> Vec<(u64, Event)> {
    desk.ask(edge, RoomAction::Broadcast { data: raw(data), to }, None)
}

fn set(desk: &mut Desk, edge: u64, value: &str, if_version: Option<u64>) -> Vec<(u64, Event)> {
    desk.ask(edge, RoomAction::State { value: raw(value), if_version }, Some(1))
}

#[test]
fn a_plain_room_says_nothing_of_rules() {
    let mut desk = Desk::new(Config::default());
    let welcome = told(&desk.join(1, "demo").0);
    assert!(welcome[0].1.get("about").is_none());
}

#[test]
fn who_makes_a_room_says_what_it_is_and_who_comes_later_is_told() {
    let mut desk = Desk::new(Config::default());
    let new = NewRoom {
        capacity: Some(3),
        public: true,
        hosted: true,
        writers: Writers::Host,
        history: 5,
        state: Some(raw(r#"{"map": 1}"#)),
        ..NewRoom::default()
    };
    let visit = Visit { create: Some(new), ..Visit::default() };
    let (outputs, ada) = desk.visit(1, "demo", visit);
    let ada = ada.unwrap();
    let rules = json!({"capacity": 3, "sealed": false, "public": true, "locked": false,
        "writers": "host", "history": 5});
    let about = json!({"rules": rules, "host": ada.peer.as_str(), "term": 1, "last_event": 0,
        "state": {"version": 1, "value": {"map": 1}}});
    assert_eq!(to(&outputs, 1), [to(&outputs, 1)[0].clone()], "no frame but the welcome");
    assert_eq!(to(&outputs, 1)[0]["about"], about);
    let other = Visit { create: Some(NewRoom::default()), ..Visit::default() };
    let (outputs, _) = desk.visit(2, "demo", other);
    assert_eq!(to(&outputs, 2)[0]["about"], about, "it is there already");
    assert_eq!(to(&outputs, 1)[0]["type"], "joined");
}

#[test]
fn a_room_is_full_sealed_locked_or_closed_to_some() {
    let mut desk = Desk::new(Config::default());
    let password = Some(Password::new("mellon"));
    let new = NewRoom { capacity: Some(2), password: password.clone(), ..hosted() };
    let first = Visit { create: Some(new), source: Some("ada"), ..Visit::default() };
    desk.visit(1, "demo", first).1.unwrap();
    let mut refused = |visit: Visit| refusal(&desk.visit(2, "demo", visit).0, 2);
    assert_eq!(refused(Visit::default()), "wrong_password");
    let wrong = Some(Password::new("melon"));
    assert_eq!(refused(Visit { password: wrong, ..Visit::default() }), "wrong_password");
    let right = || Visit { password: password.clone(), source: Some("bob"), ..Visit::default() };
    let bob = desk.visit(2, "demo", right()).1.unwrap();
    assert_eq!(refusal(&desk.visit(3, "demo", right()).0, 3), "room_full");

    let rules = |patch: RulesPatch| RoomAction::Rules { patch, term: 1 };
    let patch = RulesPatch { sealed: Some(true), capacity: Some(9), ..RulesPatch::default() };
    let outputs = desk.ask(1, rules(patch), None);
    assert_eq!(to(&outputs, 2)[0]["type"], "rules");
    assert_eq!(to(&outputs, 2)[0]["sealed"], true);
    assert_eq!(refusal(&desk.visit(3, "demo", right()).0, 3), "room_sealed");
    let patch = RulesPatch { sealed: Some(false), password: Some(None), ..RulesPatch::default() };
    assert_eq!(to(&desk.ask(1, rules(patch), None), 1)[0]["locked"], false);

    let kick = RoomAction::Kick { peer: bob.peer.clone(), ban: true, term: 1 };
    let outputs = desk.ask(1, kick, None);
    assert_eq!(to(&outputs, 2), [json!({"close": 4104})]);
    assert_eq!(to(&outputs, 1)[0]["reason"], "kicked");
    let happened = std::iter::from_fn(|| desk.hub.poll_happening()).last();
    let Some(Happening::Left(departure)) = happened else { panic!("{happened:?}") };
    assert!(departure.is_for_good() && departure.peer == bob.peer, "its relayed media stop too");
    assert_eq!(refusal(&desk.visit(3, "demo", right()).0, 3), "banned");
    let other = Visit { source: Some("carol"), ..Visit::default() };
    assert!(desk.visit(4, "demo", other).1.is_some());
}

#[test]
fn only_the_host_of_this_term_may_do_what_a_host_may() {
    let (mut desk, [ada, bob, carol]) = three(hosted());
    let kick = |peer: &PeerId, term: u64| RoomAction::Kick { peer: peer.clone(), ban: false, term };
    assert_eq!(refusal(&desk.ask(2, kick(&carol.peer, 1), None), 2), "not_host");
    assert_eq!(refusal(&desk.ask(1, kick(&carol.peer, 2), None), 1), "not_host", "no such term");
    assert_eq!(refusal(&desk.ask(1, kick(&ada.peer, 1), None), 1), "no_such_peer", "itself");
    let hand_over = |peer: &PeerId, term| RoomAction::HandOver { to: peer.clone(), term };
    let outputs = desk.ask(1, hand_over(&bob.peer, 1), None);
    let host = json!({"type": "host", "peer": bob.peer.as_str(), "term": 2});
    for edge in [1, 2, 3] {
        assert_eq!(to(&outputs, edge), std::slice::from_ref(&host));
    }
    assert_eq!(refusal(&desk.ask(1, kick(&carol.peer, 1), None), 1), "old_term");
    let rules = RoomAction::Rules { patch: RulesPatch::default(), term: 1 };
    assert_eq!(refusal(&desk.ask(1, rules, None), 1), "old_term");
    assert_eq!(refusal(&desk.ask(1, hand_over(&ada.peer, 1), None), 1), "old_term");
    assert!(!desk.ask(2, kick(&carol.peer, 2), None).is_empty());
    assert_eq!(desk.hub.roster(&room("demo")).count(), 2);
}

#[test]
fn a_host_that_leaves_is_followed_by_the_one_that_is_there_for_longest() {
    let (mut desk, [_, bob, carol]) = three(hosted());
    let outputs = desk.leave(1, LeaveReason::Left);
    let host =
        |peer: &PeerId, term: u64| json!({"type": "host", "peer": peer.as_str(), "term": term});
    assert_eq!(to(&outputs, 3)[1..], [host(&bob.peer, 2)]);
    let outputs = desk.leave(2, LeaveReason::Left);
    assert_eq!(to(&outputs, 3)[1..], [host(&carol.peer, 3)]);
    desk.leave(3, LeaveReason::Left);
    assert_eq!(desk.hub.counts().rooms, 0, "and with it goes all it held");
    assert!(told(&desk.join(4, "demo").0)[0].1.get("about").is_none());
}

#[test]
fn a_host_that_stays_away_is_replaced_and_one_that_comes_back_is_not() {
    let (mut desk, [ada, bob, _]) = three(hosted());
    desk.detach(1, Detached::Lost);
    let outputs = desk.at(Duration::from_millis(5999));
    assert!(!to(&outputs, 2).iter().any(|frame| frame["type"] == "host"));
    desk.resume(4, &ada, 3);
    assert!(!to(&desk.at(s(20)), 2).iter().any(|frame| frame["type"] == "host"));
    desk.detach(4, Detached::Vanished);
    let outputs = desk.at(s(25));
    let host = json!({"type": "host", "peer": bob.peer.as_str(), "term": 2});
    assert_eq!(to(&outputs, 2).last(), Some(&host));
    desk.resume(5, &ada, 3);
    let kick = RoomAction::Kick { peer: bob.peer, ban: false, term: 1 };
    assert_eq!(refusal(&desk.ask(5, kick, None), 5), "old_term", "it has been the host");
}

#[test]
fn nobody_takes_the_place_of_a_host_while_nobody_is_there() {
    let (mut desk, [ada, bob, _]) = three(hosted());
    for edge in [1, 2, 3] {
        desk.detach(edge, Detached::Vanished);
    }
    desk.at(s(10));
    let outputs = desk.resume(4, &bob, 2);
    let host = json!({"type": "host", "peer": bob.peer.as_str(), "term": 2});
    assert_eq!(to(&outputs, 4).last(), Some(&host), "the first that comes back");
    let outputs = desk.resume(5, &ada, 3);
    assert!(to(&outputs, 5).contains(&host), "it learns so");
}

#[test]
fn a_token_with_the_role_makes_the_host_where_there_is_none_of_that_kind() {
    let (mut desk, _) = three(hosted());
    let grant = || Some(Grant { role: Role::parse("host").ok(), ..Grant::default() });
    let (outputs, born) = desk.visit(4, "demo", Visit { grant: grant(), ..Visit::default() });
    let born = born.unwrap();
    assert_eq!(to(&outputs, 4).len(), 1);
    assert_eq!(to(&outputs, 4)[0]["about"]["host"], born.peer.as_str());
    let host = json!({"type": "host", "peer": born.peer.as_str(), "term": 2});
    assert_eq!(to(&outputs, 1)[1..], [host]);
    let (outputs, _) = desk.visit(5, "demo", Visit { grant: grant(), ..Visit::default() });
    assert_eq!(to(&outputs, 5)[0]["about"]["host"], born.peer.as_str(), "one is enough");
}

#[test]
fn a_state_is_set_by_who_has_seen_it_and_all_see_the_same_one() {
    let (mut desk, [ada, ..]) = three(NewRoom::default());
    let outputs = set(&mut desk, 1, "[ 1 ]", Some(0));
    let state = json!({"type": "state", "by": ada.peer.as_str(), "version": 1, "value": [1]});
    for edge in [2, 3] {
        assert_eq!(to(&outputs, edge), std::slice::from_ref(&state));
    }
    let text = outputs.iter().find_map(|(_, event)| match event {
        Event::Frame(frame) => Some(frame.text().as_str().contains("[ 1 ]")),
        Event::Seated { .. }
        | Event::Refused { .. }
        | Event::Facts(_)
        | Event::Done { .. }
        | Event::Close(_) => None,
    });
    assert_eq!(text, Some(true), "byte for byte");
    let outputs = set(&mut desk, 2, "2", Some(0));
    let [error] = &to(&outputs, 2)[..] else { panic!("{outputs:?}") };
    assert_eq!((&error["code"], &error["id"]), (&json!("conflict"), &json!(1)));
    assert_eq!(error["state"], json!({"version": 1, "value": [1]}), "the one that it must see");
    assert!(to(&outputs, 1).is_empty());
    assert_eq!(to(&set(&mut desk, 3, "3", Some(1)), 2)[0]["version"], 2);
    let (outputs, _) = desk.join(4, "demo");
    assert_eq!(to(&outputs, 4)[0]["about"]["state"], json!({"version": 2, "value": 3}));
}

#[test]
fn a_state_may_be_the_hosts_alone() {
    let (mut desk, _) = three(NewRoom { writers: Writers::Host, ..hosted() });
    assert_eq!(refusal(&set(&mut desk, 2, "1", None), 2), "not_host");
    assert_eq!(to(&set(&mut desk, 1, "1", None), 3)[0]["version"], 1);
}

#[test]
fn what_is_said_to_all_comes_to_all_and_the_rest_to_whom_it_is_for() {
    let (mut desk, [ada, bob, _]) = three(NewRoom::default());
    let said = json!({"type": "broadcast", "from": ada.peer.as_str(), "data": "hi"});
    let outputs = say(&mut desk, 1, r#""hi""#, Audience::All);
    for edge in [1, 2, 3] {
        assert_eq!(to(&outputs, edge), std::slice::from_ref(&said), "so all see its place");
    }
    let nobody = PeerId::parse("nobody").unwrap();
    let some = Audience::Peers(vec![bob.peer.clone(), nobody, ada.peer, bob.peer]);
    let outputs = say(&mut desk, 1, r#""hi""#, some);
    assert_eq!((to(&outputs, 2), outputs.len()), (vec![said.clone()], 1), "once, not to itself");
    let role = Role::parse("judge").unwrap();
    let grant = Some(Grant { role: Some(role.clone()), ..Grant::default() });
    desk.visit(4, "demo", Visit { grant, ..Visit::default() }).1.unwrap();
    let outputs = say(&mut desk, 1, r#""hi""#, Audience::Role(role));
    assert_eq!((to(&outputs, 4), outputs.len()), (vec![said], 1));
}

#[test]
fn who_says_too_much_to_too_many_is_refused_and_told_when_to_come_again() {
    let config =
        Config { broadcast_bytes_per_s: 138, broadcast_bytes_burst: 1380, ..Config::default() };
    let mut desk = Desk::new(config);
    let ada = desk.seat(1, "demo");
    (2..=5).for_each(|edge| drop(desk.seat(edge, "demo")));
    let text = format!(r#""{}""#, "x".repeat(18));
    assert_eq!(say(&mut desk, 1, &text, Audience::All).len(), 5);
    let outputs = say(&mut desk, 2, &text, Audience::All);
    let [(2, Event::Refused { code, retry_after, .. })] = &outputs[..] else { panic!() };
    assert_eq!((*code, *retry_after), (ErrorCode::RateLimited, Some(s(10))));
    let metadata = signal_core::Metadata::new(None, 2).unwrap();
    for action in [
        RoomAction::State { value: raw("1"), if_version: None },
        RoomAction::Metadata(metadata),
        RoomAction::Broadcast { data: raw("1"), to: Audience::Peers(vec![ada.peer]) },
    ] {
        assert_eq!(refusal(&desk.ask(2, action, None), 2), "rate_limited");
    }
    desk.at(s(10));
    assert_eq!(say(&mut desk, 2, &text, Audience::All).len(), 5);
}

#[test]
fn what_costs_more_than_a_burst_is_said_once_all_of_it_is_there() {
    let config =
        Config { broadcast_bytes_per_s: 10, broadcast_bytes_burst: 100, ..Config::default() };
    let mut desk = Desk::new(config);
    (1..=3).for_each(|edge| drop(desk.seat(edge, "demo")));
    assert_eq!(say(&mut desk, 1, "1", Audience::All).len(), 3);
    desk.at(Duration::from_millis(9_999));
    assert_eq!(refusal(&say(&mut desk, 1, "1", Audience::All), 1), "rate_limited");
    desk.at(s(10));
    assert_eq!(say(&mut desk, 1, "1", Audience::All).len(), 3);
}

#[test]
fn who_comes_with_a_cursor_is_told_what_was_said_and_goes_on_without_gap_or_repeat() {
    let (mut desk, _) = three(NewRoom { history: 3, ..NewRoom::default() });
    for data in ["1", "2", "3", "4"] {
        say(&mut desk, 1, data, Audience::All);
    }
    let mut come = |edge: u64, after: Option<u64>| {
        let (outputs, _) = desk.visit(edge, "demo", Visit { after, ..Visit::default() });
        let about = to(&outputs, edge)[0]["about"].clone();
        let events = about["events"].as_array().cloned().unwrap_or_default();
        let numbers: Vec<_> = events.iter().map(|event| event["event"].as_u64().unwrap()).collect();
        let data: Vec<_> = events.iter().map(|event| event["data"].as_u64().unwrap()).collect();
        assert_eq!(numbers, data);
        assert_eq!(about["last_event"], 4);
        (numbers, about["missed"] == true)
    };
    assert_eq!(come(4, None), (vec![], false), "it didn't ask");
    assert_eq!(come(5, Some(0)), (vec![2, 3, 4], true), "the first is gone");
    assert_eq!(come(6, Some(1)), (vec![2, 3, 4], false));
    assert_eq!(come(7, Some(3)), (vec![4], false));
    assert_eq!(come(8, Some(4)), (vec![], false));
    assert_eq!(come(9, Some(u64::MAX)), (vec![], false));
    let outputs = say(&mut desk, 1, "5", Audience::All);
    assert_eq!(to(&outputs, 7)[0]["event"], 5);
    let outputs = say(&mut desk, 1, "6", Audience::Peers(Vec::new()));
    assert!(outputs.is_empty());
    assert_eq!(to(&say(&mut desk, 1, "7", Audience::All), 7)[0]["event"], 6, "only what all hear");
}

#[test]
fn what_is_kept_is_limited_in_bytes_and_time() {
    let config = Config { history_bytes_max: 200, history_age: s(60), ..Config::default() };
    let mut desk = Desk::new(config);
    let create = Some(NewRoom { history: 100, ..NewRoom::default() });
    desk.visit(1, "demo", Visit { create, ..Visit::default() }).1.unwrap();
    for _ in 0..10 {
        say(&mut desk, 1, "1", Audience::All);
    }
    let kept = |desk: &Desk| desk.hub.history(&room("demo"), 0, 99).unwrap().events.len();
    assert!((1..4).contains(&kept(&desk)), "{}", kept(&desk));
    desk.at(s(60));
    say(&mut desk, 1, "1", Audience::All);
    assert_eq!(kept(&desk), 1, "the others are too old");
}

#[test]
fn metadata_change_and_newcomers_see_the_new() {
    let (mut desk, [_, bob, _]) = three(NewRoom::default());
    let metadata = signal_core::Metadata::new(Some(&raw(r#"{"name":"bobby"}"#)), 99).unwrap();
    let outputs = desk.ask(2, RoomAction::Metadata(metadata), None);
    let changed = json!({"type": "metadata", "peer": bob.peer.as_str(),
        "metadata": {"name": "bobby"}});
    assert_eq!(to(&outputs, 1), std::slice::from_ref(&changed));
    assert_eq!((to(&outputs, 3), to(&outputs, 2)), (vec![changed], vec![]));
    let (outputs, _) = desk.join(4, "demo");
    assert_eq!(to(&outputs, 4)[0]["members"][1]["metadata"], json!({"name": "bobby"}));
}

#[test]
fn a_room_that_was_made_waits_for_members_and_ends_when_none_come() {
    let mut desk = Desk::new(Config { opens_rooms: false, ..Config::default() });
    assert_eq!(refusal(&desk.join(1, "demo").0, 1), "no_such_room");
    let new = || NewRoom { idle: Some(s(60)), state: Some(raw("7")), ..NewRoom::default() };
    let now = desk.now;
    let open = |desk: &mut Desk, now: Now| desk.hub.handle_open_room(now, &room("demo"), new());
    assert_eq!(open(&mut desk, now), Ok(()));
    assert_eq!(open(&mut desk, now), Err(ErrorCode::RoomTaken));
    desk.at(s(59));
    assert!(desk.join(1, "demo").1.is_some());
    desk.at(s(100));
    desk.leave(1, LeaveReason::Left);
    assert_eq!(desk.hub.counts().rooms, 1);
    let (outputs, _) = desk.join(2, "demo");
    assert_eq!(to(&outputs, 2)[0]["about"]["state"]["value"], 7, "it kept what it held");
    desk.leave(2, LeaveReason::Left);
    desk.at(s(159));
    assert_eq!(desk.hub.counts().rooms, 1);
    desk.at(s(160));
    assert_eq!((desk.hub.counts().rooms, desk.hub.poll_timeout()), (0, None));
    assert_eq!(refusal(&desk.join(3, "demo").0, 3), "no_such_room");
    let happened = std::iter::from_fn(|| desk.hub.poll_happening()).map(|it| match it {
        Happening::RoomOpened(_) => "opened",
        Happening::Joined(_) => "joined",
        Happening::Left(_) => "left",
        Happening::RoomClosed(_) => "closed",
    });
    let all = ["opened", "joined", "left", "joined", "left", "closed"];
    assert_eq!(happened.collect::<Vec<_>>(), all);
}

#[test]
fn all_see_the_same_order_of_what_happens_in_a_room() {
    let config = Config { news_per_s: 2, news_burst: 2, ..Config::default() };
    let mut desk = Desk::new(config);
    let create = Some(NewRoom { history: 9, ..hosted() });
    desk.visit(1, "demo", Visit { create, ..Visit::default() }).1.unwrap();
    let mut outputs = Vec::new();
    desk.seat(2, "demo");
    for edge in 3..8 {
        outputs.extend(desk.join(edge, "demo").0);
        outputs.extend(say(&mut desk, edge, &edge.to_string(), Audience::All));
        outputs.extend(set(&mut desk, edge, "1", None));
        outputs.extend(desk.leave(edge - 1, LeaveReason::Left));
    }
    outputs.extend(desk.at(s(5)));
    let order = |edge: u64| {
        let frames = to(&outputs, edge).into_iter().flat_map(|frame| match frame.get("changes") {
            Some(changes) => changes.as_array().unwrap().clone(),
            None => vec![frame],
        });
        let others = frames.filter(|frame| frame["type"] != "welcome");
        let without_ack = others.map(|mut frame| {
            frame.as_object_mut().unwrap().remove("ack");
            frame
        });
        without_ack.collect::<Vec<_>>()
    };
    let all = order(1);
    assert!(all.len() > 18, "{all:?}");
    let last = order(7);
    assert_eq!(last[..], all[all.len() - last.len()..], "who came last sees the same end");
}
