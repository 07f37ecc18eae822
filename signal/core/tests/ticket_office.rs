//! Owners of tickets: who may ask, who is gone, and for how long it is known what became of one.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heliograph_base::Time;
use serde_json::json;
use signal_core::matchmaking::{Posted, Status, Ticket, TicketId, TicketOffice};
use signal_core::{MatchLimits, SessionKey};
use std::time::Duration;

/// An office and the time.
struct Script {
    limits: MatchLimits,
    office: TicketOffice,
    now: Time,
}

impl Script {
    fn new() -> Self {
        Self::with(MatchLimits::default())
    }

    fn with(limits: MatchLimits) -> Self {
        let office = TicketOffice::new(limits.clone(), [7; 32]);
        Self { limits, office, now: Time::START }
    }

    fn at(&mut self, ms: u64) {
        let end = Time::after_start(Duration::from_millis(ms));
        while let Some(due) = self.office.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.office.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn post(&mut self, size: u32) -> Posted {
        let text = json!({"queue": "chess", "size": size, "timeout_s": 300}).to_string();
        let ticket = Ticket::parse(&text, &self.limits).unwrap();
        self.office.handle_post(self.now, ticket).unwrap()
    }

    fn look(&mut self, posted: &Posted) -> Option<Status> {
        self.office.handle_look(self.now, posted.id, &posted.key)
    }

    fn changes(&mut self) -> Vec<(TicketId, Status)> {
        std::iter::from_fn(|| self.office.poll_change()).collect()
    }
}

fn waiting(expires_in_s: u64) -> Option<Status> {
    Some(Status::Waiting { expires_in_s })
}

#[test]
fn owners_learn_their_room_and_their_seats() {
    let mut script = Script::new();
    let first = script.post(2);
    assert_eq!(first.status, waiting(300).unwrap());
    script.at(500);
    assert_eq!(script.look(&first), waiting(300), "rounded up");
    let second = script.post(2);
    let Status::Matched { room, players: 2, seats } = &second.status else { panic!("{second:?}") };
    assert_eq!(seats, &[1]);
    assert!(room.as_str().len() >= 26, "128 bits or more: {room}");
    let other = Status::Matched { room: room.clone(), players: 2, seats: vec![0] };
    assert_eq!(script.look(&first), Some(other.clone()));
    assert_eq!(script.changes(), [(first.id, other), (second.id, second.status.clone())]);
    let text = serde_json::to_value(&second.status).unwrap();
    let expected = json!({"status": "matched", "room": room.as_str(), "players": 2, "seats": [1]});
    assert_eq!(text, expected);
}

#[test]
fn nobody_else_learns_anything_or_cancels() {
    let mut script = Script::new();
    let (ticket, other) = (script.post(2), script.post(3));
    let wrong = SessionKey::from_random([9; 16]);
    for key in [&wrong, &other.key] {
        assert_eq!(script.office.handle_look(script.now, ticket.id, key), None);
        assert_eq!(script.office.handle_watch(script.now, ticket.id, key), None);
        assert_eq!(script.office.handle_cancel(script.now, ticket.id, key), None);
    }
    assert_eq!(script.look(&ticket), waiting(300));
    let unknown = TicketId::parse("aaaaaaaaaaaaaaaa").unwrap();
    assert_eq!(script.office.handle_look(script.now, unknown, &ticket.key), None);
    script.at(30_000);
    assert_eq!(script.look(&ticket), Some(Status::Cancelled), "a wrong key is no sign of life");
}

#[test]
fn a_ticket_whose_owner_is_gone_is_cancelled() {
    let mut script = Script::new();
    let ticket = script.post(2);
    script.at(20_000);
    assert_eq!(script.look(&ticket), waiting(280));
    script.at(49_999);
    assert!(matches!(script.post(3).status, Status::Waiting { .. }));
    assert_eq!(script.changes(), []);
    script.at(50_000);
    assert_eq!(script.changes(), [(ticket.id, Status::Cancelled)]);
    assert_eq!(script.office.counts().abandoned, 1);
    assert_eq!(script.post(2).status, waiting(300).unwrap(), "nobody is there to play with");
    assert_eq!(script.look(&ticket), Some(Status::Cancelled), "that it can still ask");
}

#[test]
fn who_stays_is_not_gone() {
    let mut script = Script::new();
    let ticket = script.post(2);
    for _ in 0..2 {
        let status = script.office.handle_watch(script.now, ticket.id, &ticket.key);
        assert_eq!(status, waiting(300));
    }
    script.at(100_000);
    script.office.handle_unwatch(script.now, ticket.id);
    assert_eq!(script.office.counts().watched, 1);
    script.at(200_000);
    script.office.handle_unwatch(script.now, ticket.id);
    script.at(229_999);
    assert_eq!(script.changes(), []);
    script.at(230_000);
    assert_eq!(script.changes(), [(ticket.id, Status::Cancelled)]);
}

#[test]
fn who_cancels_too_late_learns_of_the_match() {
    let mut script = Script::new();
    let (first, second) = (script.post(2), script.post(2));
    let cancelled = script.office.handle_cancel(script.now, first.id, &first.key);
    assert!(matches!(cancelled, Some(Status::Matched { .. })), "{cancelled:?}");
    assert!(matches!(script.look(&second), Some(Status::Matched { .. })));
    let third = script.post(2);
    script.changes();
    let cancelled = script.office.handle_cancel(script.now, third.id, &third.key);
    assert_eq!(cancelled, Some(Status::Cancelled));
    assert_eq!(script.changes(), [(third.id, Status::Cancelled)]);
    assert_eq!(script.post(2).status, waiting(300).unwrap());
}

#[test]
fn what_became_of_a_ticket_is_known_for_a_while_and_then_nothing_is_left() {
    let mut script = Script::new();
    let (first, second) = (script.post(2), script.post(2));
    script.at(59_999);
    assert!(matches!(script.look(&first), Some(Status::Matched { .. })));
    assert!(matches!(script.look(&second), Some(Status::Matched { .. })));
    script.at(60_000);
    assert_eq!(script.look(&first), None);
    assert!(script.office.is_empty());
    let third = script.post(2);
    script.office.handle_watch(script.now, third.id, &third.key);
    script.at(360_000);
    assert_eq!(script.look(&third), Some(Status::Expired));
    script.at(420_000);
    assert!(script.office.is_empty() && script.office.poll_timeout().is_none());
}

#[test]
fn outcomes_beyond_the_most_push_the_oldest_out() {
    let mut script = Script::with(MatchLimits { outcomes_max: 4, ..MatchLimits::default() });
    let pairs: Vec<_> = (0..6).map(|_| script.post(2)).collect();
    let known: Vec<_> = pairs.iter().map(|posted| script.look(posted).is_some()).collect();
    assert_eq!(known, [false, false, true, true, true, true]);
    script.at(60_000);
    assert!(script.office.is_empty());
}
