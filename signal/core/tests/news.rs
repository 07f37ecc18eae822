//! How a room learns who comes and goes when many do at once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use signal_core::protocol::LeaveReason;
use signal_core::{Config, Detached, Event};
use std::time::Duration;
use support::{Desk, Seat, told};

/// Two frames at once, then one every half second, or as soon as five changes wait.
fn config() -> Config {
    Config { news_per_s: 2, news_burst: 2, news_max: 5, ..Config::default() }
}

/// What an edge was told of others: `+edge` has joined, `-edge` has left, `~edge` is away, `!edge`
/// is back, `"data"` came; those that came in one frame with blanks between.
fn news(outputs: &[(u64, Event)], edge: u64, seats: &[&Seat]) -> Vec<String> {
    let own: Vec<_> = outputs.iter().filter(|(to, _)| *to == edge).cloned().collect();
    let peer = |value: &Value| {
        let index = seats.iter().position(|seat| seat.peer.as_str() == value.as_str().unwrap());
        index.unwrap() + 1
    };
    let one = |frame: &Value| match frame["type"].as_str().unwrap() {
        "joined" => format!("+{}", frame["metadata"]["edge"]),
        "left" => format!("-{}", peer(&frame["peer"])),
        "away" => format!("~{}", peer(&frame["peer"])),
        "back" => format!("!{}", peer(&frame["peer"])),
        "signal" => frame["data"].to_string(),
        other => format!("({other})"),
    };
    let frames = told(&own).into_iter().map(|(_, frame)| match frame["changes"].as_array() {
        Some(changes) => changes.iter().map(one).collect::<Vec<_>>().join(" "),
        None => one(&frame),
    });
    frames.collect()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_quiet_room_learns_at_once_and_a_busy_one_soon_and_together() {
    let mut desk = Desk::new(config());
    desk.seat(1, "demo");
    assert_eq!(news(&desk.join(2, "demo").0, 1, &[]), ["+2"]);
    assert_eq!(news(&desk.join(3, "demo").0, 1, &[]), ["+3"]);
    assert_eq!(news(&desk.join(4, "demo").0, 1, &[]), [""; 0], "the burst is used up");
    assert_eq!(news(&desk.join(5, "demo").0, 1, &[]), [""; 0]);
    assert_eq!(news(&desk.at(ms(499)), 1, &[]), [""; 0]);
    let outputs = desk.at(ms(500));
    assert_eq!(news(&outputs, 1, &[]), ["+4 +5"]);
    assert_eq!(news(&outputs, 3, &[]), ["+4 +5"]);
    assert_eq!(news(&outputs, 4, &[]), ["+5"], "the rest was in its welcome");
    assert_eq!(news(&outputs, 5, &[]), [""; 0]);
    assert_eq!(news(&desk.at(ms(2500)), 1, &[]), [""; 0]);
    assert_eq!(news(&desk.join(6, "demo").0, 1, &[]), ["+6"], "it is quiet again");
}

#[test]
fn a_crowd_costs_few_frames_and_everybody_learns_of_everybody_else_once() {
    let mut desk = Desk::new(Config { news_per_s: 2, news_burst: 2, ..Config::default() });
    let mut outputs = Vec::new();
    for edge in 1..=300 {
        outputs.extend(desk.join(edge, "demo").0);
    }
    outputs.extend(desk.at(ms(500)));
    for edge in 1..=300 {
        let own: Vec<_> = outputs.iter().filter(|(to, _)| *to == edge).cloned().collect();
        let frames = told(&own).len();
        assert!(frames <= 1 + 2 + 300_usize.div_ceil(64) + 1, "{frames}");
        let found = news(&outputs, edge, &[]).join(" ");
        let found: Vec<_> = found.split_whitespace().filter(|it| it.starts_with('+')).collect();
        let expected: Vec<_> = (edge + 1..=300).map(|other| format!("+{other}")).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn as_many_changes_as_may_wait_do_not_wait() {
    let mut desk = Desk::new(config());
    desk.seat(1, "demo");
    (2..8).for_each(|edge| drop(desk.seat(edge, "demo")));
    assert_eq!(news(&desk.join(8, "demo").0, 1, &[]), ["+4 +5 +6 +7 +8"]);
    let bytes = Config { news_bytes_max: 150, ..config() };
    let mut desk = Desk::new(bytes);
    desk.seat(1, "demo");
    (2..5).for_each(|edge| drop(desk.seat(edge, "demo")));
    assert_eq!(news(&desk.join(5, "demo").0, 1, &[]), ["+4 +5"]);
}

#[test]
fn nobody_hears_from_a_stranger() {
    let mut desk = Desk::new(config());
    let seats: Vec<_> = (1..=5).map(|edge| desk.seat(edge, "demo")).collect();
    let outputs = desk.signal(4, &seats[0].peer, "7");
    assert_eq!(news(&outputs, 1, &[]), ["+4 +5", "7"]);
    assert_eq!(news(&outputs, 2, &[]), [""; 0], "it hears nothing from it");
    assert_eq!(news(&desk.signal(3, &seats[1].peer, "8"), 2, &[]), ["8"], "it knows that one");
    let outputs = desk.at(ms(500));
    assert_eq!(news(&outputs, 1, &[]), [""; 0]);
    assert_eq!(news(&outputs, 2, &[]), ["+4 +5"]);
}

#[test]
fn nobody_is_told_of_itself_and_all_see_the_same_order() {
    let mut desk = Desk::new(config());
    let seats: Vec<_> = (1..=5).map(|edge| desk.seat(edge, "demo")).collect();
    let seats: Vec<_> = seats.iter().collect();
    desk.detach(2, Detached::Vanished);
    desk.resume(12, seats[1], 2);
    let outputs = desk.leave(3, LeaveReason::Left);
    assert_eq!(news(&outputs, 1, &seats), ["+4 +5 ~2 !2 -3"]);
    assert_eq!(news(&outputs, 12, &seats), ["+4 +5 -3"]);
    assert_eq!(news(&outputs, 5, &seats), ["~2 !2 -3"]);
}

#[test]
fn who_comes_back_hears_first_that_it_is_back() {
    let mut desk = Desk::new(config());
    let seats: Vec<_> = (1..=5).map(|edge| desk.seat(edge, "demo")).collect();
    desk.detach(1, Detached::Vanished);
    desk.detach(2, Detached::Vanished);
    let outputs = desk.resume(11, &seats[0], 3);
    let seats: Vec<_> = seats.iter().collect();
    assert_eq!(news(&outputs, 11, &seats), ["(resumed)", "+4 +5 ~2"], "five wait");
    assert_eq!(news(&outputs, 3, &seats), ["+4 +5 ~1 ~2 !1"]);
}

#[test]
fn who_learns_the_room_anew_is_not_told_again_what_it_then_knows() {
    let mut desk = Desk::new(config());
    let seats: Vec<_> = (1..=5).map(|edge| desk.seat(edge, "demo")).collect();
    let outputs = desk.resume(11, &seats[0], 1_000_000);
    let resync = told(&outputs).into_iter().find(|(_, frame)| frame["type"] == "resync").unwrap();
    assert_eq!(resync.1["members"].as_array().unwrap().len(), 4);
    let outputs = desk.at(ms(500));
    assert_eq!(news(&outputs, 11, &[]), [""; 0]);
    assert_eq!(news(&outputs, 2, &[]), ["+4 +5"]);
}

#[test]
fn news_wait_for_who_is_away_and_nothing_is_left_of_a_room_that_is_gone() {
    let mut desk = Desk::new(config());
    let seats: Vec<_> = (1..=5).map(|edge| desk.seat(edge, "demo")).collect();
    desk.detach(1, Detached::Lost);
    desk.at(ms(500));
    let outputs = desk.resume(11, &seats[0], 3);
    assert_eq!(news(&outputs, 11, &[]), ["(resumed)", "+4 +5"]);
    for edge in [11, 2, 3, 4, 5] {
        desk.leave(edge, LeaveReason::Left);
    }
    desk.at(Duration::from_secs(60));
    let shown = format!("{:?}", desk.hub);
    assert!(shown.contains("rooms: {}") && shown.contains("gatherings: Gatherings { heap: [] }"));
    let seat = desk.seat(1, "demo");
    assert_eq!(news(&desk.join(2, "demo").0, 1, &[&seat]), ["+2"], "a new one is quiet");
}
