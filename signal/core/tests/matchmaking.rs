//! Which tickets find each other and when, one behaviour each, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heliograph_base::Time;
use serde_json::{Value, json};
use signal_core::matchmaking::{Full, MatchOutput, Matchmaker, Ticket, TicketNumber};
use signal_core::{MatchLimits, RoomId};
use std::collections::HashSet;
use std::time::Duration;

/// A matchmaker and the time.
struct Script {
    limits: MatchLimits,
    matchmaker: Matchmaker,
    now: Time,
    rooms: HashSet<RoomId>,
}

/// What became of tickets.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// The tickets of a match, and how many players they are.
    Matched(Vec<u64>, u32),
    Expired(u64),
}

impl Script {
    fn new() -> Self {
        Self::with(MatchLimits::default())
    }

    fn with(limits: MatchLimits) -> Self {
        let matchmaker = Matchmaker::new(limits.clone(), [7; 32]);
        Self { limits, matchmaker, now: Time::START, rooms: HashSet::new() }
    }

    /// Goes on to so many milliseconds after the start, and tells what became of tickets until
    /// then, and when.
    fn at(&mut self, ms: u64) -> Vec<(u64, Told)> {
        let end = Time::after_start(Duration::from_millis(ms));
        let mut told = Vec::new();
        while let Some(due) = self.matchmaker.poll_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.matchmaker.handle_timeout(self.now);
            let at = self.now.since_start().as_millis() as u64;
            told.extend(self.told().into_iter().map(|told| (at, told)));
        }
        self.now = end;
        told
    }

    fn post(&mut self, ticket: &Value) -> u64 {
        let ticket = Ticket::parse(&ticket.to_string(), &self.limits).unwrap();
        self.matchmaker.handle_ticket(self.now, ticket).unwrap().0
    }

    fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(output) = self.matchmaker.poll_output() {
            told.push(match output {
                MatchOutput::Expired(ticket) => Told::Expired(ticket.0),
                MatchOutput::Matched { room, players, places } => {
                    assert!(self.rooms.insert(room), "every match has a room of its own");
                    let seats: Vec<u32> =
                        places.iter().flat_map(|place| place.seats.clone()).collect();
                    assert_eq!(seats, (0..players).collect::<Vec<_>>(), "every seat once");
                    Told::Matched(places.iter().map(|place| place.ticket.0).collect(), players)
                }
            });
        }
        told
    }

    /// Posts one more and tells what that led to.
    fn then(&mut self, ticket: &Value) -> Vec<Told> {
        self.post(ticket);
        self.told()
    }
}

fn pair() -> Value {
    json!({"queue": "chess", "size": 2})
}

fn of(region: &str) -> Value {
    json!({"queue": "chess", "size": 2, "properties": {"region": region},
           "query": [{"property": "region", "equals": region}]})
}

fn ranked(rank: i64, within: u64, relax: Value) -> Value {
    json!({"queue": "chess", "size": 2, "properties": {"rank": rank}, "timeout_s": 600,
           "query": [{"property": "rank", "within": within, "relax": relax}]})
}

#[test]
fn as_many_as_asked_for_go_together() {
    let mut script = Script::new();
    let four = json!({"queue": "chess", "size": 4});
    for _ in 0..3 {
        assert_eq!(script.then(&four), []);
    }
    assert_eq!(script.then(&four), [Told::Matched(vec![1, 2, 3, 4], 4)]);
    assert!(script.matchmaker.is_empty(), "nothing is kept");
}

#[test]
fn queues_do_not_mix() {
    let mut script = Script::new();
    script.post(&pair());
    assert_eq!(script.then(&json!({"queue": "chess-2", "size": 2})), []);
    assert_eq!(script.then(&pair()), [Told::Matched(vec![1, 3], 2)]);
}

#[test]
fn both_sides_must_accept() {
    let mut script = Script::new();
    script.post(&of("eu"));
    let anybody = json!({"queue": "chess", "size": 2, "properties": {"region": "us"}});
    assert_eq!(script.then(&anybody), [], "the first doesn't want it");
    assert_eq!(script.then(&of("us")), [Told::Matched(vec![2, 3], 2)]);
    let nowhere = json!({"queue": "chess", "size": 2});
    assert_eq!(script.then(&nowhere), [], "who doesn't say is in no region");
    assert_eq!(script.then(&of("eu")), [Told::Matched(vec![1, 5], 2)]);
}

#[test]
fn one_of_several_is_enough() {
    let mut script = Script::new();
    let wish = json!([{"property": "level", "one_of": ["easy", 2, 3]}]);
    let picky = json!({"queue": "chess", "size": 2, "query": wish,
                       "properties": {"level": "easy"}});
    let level = |level: Value| {
        json!({"queue": "chess", "size": 2, "properties": {"level": level},
               "query": [{"property": "level", "equals": "easy"}]})
    };
    script.post(&picky);
    assert_eq!(script.then(&level(json!("hard"))), []);
    assert_eq!(script.then(&level(json!("2"))), [], "a text is no number");
    assert_eq!(script.then(&level(json!(2.0))), [Told::Matched(vec![1, 4], 2)]);
}

#[test]
fn a_distance_includes_its_end() {
    let mut script = Script::new();
    script.post(&ranked(1000, 200, Value::Null));
    assert_eq!(script.then(&ranked(1201, 500, Value::Null)), []);
    assert_eq!(script.then(&ranked(1200, 500, Value::Null)).len(), 1);
    script.post(&ranked(-5, 10, Value::Null));
    assert_eq!(script.then(&ranked(5, 10, Value::Null)).len(), 1);
}

#[test]
fn the_older_ones_go_first() {
    let mut script = Script::new();
    let three = json!({"queue": "chess", "size": 3, "properties": {"region": "eu"}});
    let only_eu = json!({"queue": "chess", "size": 3,
                         "query": [{"property": "region", "equals": "eu"}]});
    script.post(&only_eu);
    script.post(&only_eu);
    script.post(&three);
    assert_eq!(script.then(&three), [Told::Matched(vec![1, 3, 4], 3)], "not 2, which is younger");
}

#[test]
fn who_is_in_the_way_of_a_group_is_passed_over() {
    let mut script = Script::new();
    let three = |rank: u64| {
        json!({"queue": "chess", "size": 3, "properties": {"rank": rank},
               "query": [{"property": "rank", "within": 100}]})
    };
    // The second accepts the first, but nobody else.
    for rank in [100, 0, 150] {
        script.post(&three(rank));
    }
    assert_eq!(script.then(&three(180)), [Told::Matched(vec![1, 3, 4], 3)]);
}

#[test]
fn a_distance_widens_by_its_rate_up_to_its_end() {
    let mut script = Script::new();
    let relax = json!({"after_s": 10, "by": 50, "to": 220});
    script.post(&ranked(1000, 100, relax));
    let wide = ranked(1200, 1000, Value::Null);
    script.post(&wide);
    // 100 + 50 at 11 s, + 50 at 12 s.
    assert_eq!(script.at(11_999), []);
    assert_eq!(script.at(12_000), [(12_000, Told::Matched(vec![1, 2], 2))]);

    let mut script = Script::new();
    script.post(&ranked(1000, 100, json!({"after_s": 0, "by": 50, "to": 220})));
    script.post(&ranked(1221, 1000, Value::Null));
    assert_eq!(script.at(500_000), [], "never wider than 220");
    assert_eq!(script.then(&ranked(1220, 1000, Value::Null)).len(), 1);
}

#[test]
fn without_a_rate_it_widens_at_once_and_without_an_end_it_is_dropped() {
    let mut script = Script::new();
    script.post(&ranked(1000, 100, json!({"after_s": 5, "to": 300})));
    script.post(&ranked(1300, 1000, Value::Null));
    assert_eq!(script.at(60_000), [(5000, Told::Matched(vec![1, 2], 2))]);

    script.post(&ranked(1000, 100, json!({"after_s": 5})));
    let unranked = json!({"queue": "chess", "size": 2, "timeout_s": 600});
    script.post(&unranked);
    assert_eq!(script.at(200_000), [(65_000, Told::Matched(vec![3, 4], 2))]);
}

#[test]
fn a_text_is_dropped_after_its_time() {
    let mut script = Script::new();
    let relaxing = |region: &str| {
        json!({"queue": "chess", "size": 2, "properties": {"region": region}, "query": [
            {"property": "region", "equals": region, "relax": {"after_s": 20}}]})
    };
    script.post(&relaxing("eu"));
    script.at(3000);
    script.post(&relaxing("us"));
    assert_eq!(script.at(100_000), [(23_000, Told::Matched(vec![1, 2], 2))], "when both have");
}

#[test]
fn enough_wait_a_moment_for_more() {
    let mut script = Script::new();
    let some = json!({"queue": "chess", "size": {"min": 2, "max": 4}, "fill_s": 3});
    script.post(&some);
    script.at(1000);
    script.post(&some);
    assert_eq!(script.at(3999), [], "the second has waited for less than 3 s");
    script.post(&some);
    assert_eq!(script.at(4000), [(4000, Told::Matched(vec![1, 2, 3], 3))], "who is there comes");
    for _ in 0..3 {
        assert_eq!(script.then(&some), []);
    }
    assert_eq!(script.then(&some), [Told::Matched(vec![4, 5, 6, 7], 4)], "full: nobody waits");
}

#[test]
fn a_stream_of_newcomers_does_not_hold_a_group_up() {
    let mut script = Script::new();
    let some = json!({"queue": "chess", "size": {"min": 2, "max": 64}, "fill_s": 3});
    let mut told = Vec::new();
    for second in 0..5 {
        told.extend(script.at(second * 1000));
        script.post(&some);
    }
    assert_eq!(told, [(4000, Told::Matched(vec![1, 2, 3, 4], 4))]);
}

#[test]
fn different_sizes_meet_where_all_are_content() {
    let mut script = Script::new();
    let sized = |size: Value| json!({"queue": "chess", "size": size, "fill_s": 600});
    script.post(&sized(json!({"min": 2, "max": 8})));
    assert_eq!(script.then(&sized(json!({"min": 4, "max": 8}))), []);
    assert_eq!(script.then(&sized(json!(2))), [Told::Matched(vec![1, 3], 2)]);
    script.post(&sized(json!(5)));
    assert_eq!(script.then(&sized(json!({"min": 2, "max": 5}))), []);
    assert_eq!(script.then(&sized(json!({"min": 2, "max": 5}))), [], "four of five");
    assert_eq!(script.then(&sized(json!({"min": 6, "max": 9}))), [], "would be too many");
    assert_eq!(
        script.then(&sized(json!({"min": 5, "max": 9}))),
        [Told::Matched(vec![2, 4, 5, 6, 8], 5)]
    );
}

#[test]
fn a_party_stays_together() {
    let mut script = Script::new();
    let party = |party: u32| json!({"queue": "chess", "size": 4, "party": party});
    script.post(&party(3));
    assert_eq!(script.then(&party(2)), [], "five are too many");
    assert_eq!(script.then(&party(2)), [Told::Matched(vec![2, 3], 4)]);
    assert_eq!(script.then(&party(1)), [Told::Matched(vec![1, 4], 4)]);
    assert_eq!(script.then(&party(4)), [Told::Matched(vec![5], 4)], "who is enough goes at once");
}

#[test]
fn a_room_with_free_seats_gets_players_like_anybody_else() {
    let mut script = Script::new();
    let four = |more: Value| {
        let mut ticket = json!({"queue": "chess", "size": 4});
        ticket.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ticket
    };
    script.post(&four(json!({"properties": {"region": "eu"}})));
    assert_eq!(script.then(&four(json!({"room": "duel-1", "party": 2}))), []);
    let picky = json!({"query": [{"property": "region", "equals": "eu"}]});
    assert_eq!(script.then(&four(picky)), [], "the room doesn't say where it is");
    assert_eq!(
        script.then(&four(json!({}))),
        [Told::Matched(vec![2, 1, 4], 4)],
        "who is there has the first seats"
    );
    assert!(script.rooms.contains(&RoomId::parse("duel-1").unwrap()));
}

#[test]
fn two_rooms_do_not_meet_and_none_goes_alone() {
    let mut script = Script::new();
    let size = json!({"min": 2, "max": 4});
    let room = |name: &str| json!({"queue": "chess", "size": size, "room": name, "fill_s": 1});
    script.post(&room("a"));
    script.post(&room("b"));
    assert_eq!(script.at(59_999), []);
    assert_eq!(
        script.then(&json!({"queue": "chess", "size": {"min": 2, "max": 4}, "fill_s": 0})),
        [Told::Matched(vec![1, 3], 2)]
    );
    assert_eq!(script.at(60_000), [(60_000, Told::Expired(2))]);
}

#[test]
fn who_was_cancelled_is_never_matched() {
    let mut script = Script::new();
    let first = script.post(&pair());
    assert!(script.matchmaker.handle_cancel(TicketNumber(first)));
    assert!(script.matchmaker.is_empty(), "nothing is kept");
    assert!(!script.matchmaker.handle_cancel(TicketNumber(first)));
    assert_eq!(script.then(&pair()), []);
    assert_eq!(script.then(&pair()), [Told::Matched(vec![2, 3], 2)]);
    assert_eq!(script.matchmaker.counts().cancelled, 1);
}

#[test]
fn who_finds_nobody_in_time_expires() {
    let mut script = Script::new();
    let brief = json!({"queue": "chess", "size": 2, "timeout_s": 7});
    script.post(&brief);
    assert_eq!(script.at(100_000), [(7000, Told::Expired(1))]);
    assert!(script.matchmaker.is_empty(), "nothing is kept");
    script.post(&pair());
    assert_eq!(script.at(200_000), [(160_000, Told::Expired(2))], "60 s if it doesn't say");
}

#[test]
fn the_last_chance_is_the_moment_of_expiry() {
    let mut script = Script::new();
    let relax = json!({"after_s": 7});
    let mut last = ranked(1000, 0, relax);
    last["timeout_s"] = json!(7);
    script.post(&last);
    script.post(&pair());
    assert_eq!(script.at(7000), [(7000, Told::Matched(vec![1, 2], 2))]);
}

#[test]
fn newcomers_do_not_overtake_who_has_relaxed() {
    let mut script = Script::new();
    script.post(&ranked(5000, 10, json!({"after_s": 10})));
    let newcomer = |rank: i64| ranked(rank, 10_000, json!({"after_s": 0}));
    assert_eq!(script.at(9999), []);
    // Until then others play past it.
    for _ in 0..20 {
        script.post(&newcomer(0));
        assert_eq!(script.then(&newcomer(0)).len(), 1);
    }
    script.at(10_000);
    assert_eq!(script.then(&newcomer(0)), [Told::Matched(vec![1, 42], 2)]);
}

#[test]
fn the_next_ticket_beyond_the_most_is_refused() {
    let mut script = Script::with(MatchLimits { tickets_max: 3, ..MatchLimits::default() });
    let four = json!({"queue": "chess", "size": 4});
    for _ in 0..3 {
        script.post(&four);
    }
    let ticket = Ticket::parse(&four.to_string(), &script.limits).unwrap();
    assert_eq!(script.matchmaker.handle_ticket(script.now, ticket.clone()), Err(Full));
    assert_eq!(script.at(60_000).len(), 3);
    assert!(script.matchmaker.handle_ticket(script.now, ticket).is_ok());
}

#[test]
fn a_search_that_takes_too_long_is_taken_up_later() {
    let limits = MatchLimits { search_steps_max: 200, ..MatchLimits::default() };
    let mut script = Script::with(limits);
    // One who accepts many who don't accept each other; and behind them four who do.
    let lonely = |n: u64| {
        json!({"queue": "chess", "size": 5, "timeout_s": 600, "properties": {"id": n},
               "query": [{"property": "id", "equals": 1000}]})
    };
    for n in 0..100 {
        script.post(&lonely(n));
    }
    let friend = json!({"queue": "chess", "size": 5, "timeout_s": 600,
                        "properties": {"id": 1000}});
    for _ in 0..4 {
        script.post(&friend);
    }
    assert_eq!(script.then(&friend), []);
    assert!(script.matchmaker.counts().gave_up > 0);
    // What is in the way is gone when it is taken up again.
    for n in 1..=100 {
        script.matchmaker.handle_cancel(TicketNumber(n));
    }
    let expected = Told::Matched(vec![101, 102, 103, 104, 105], 5);
    assert_eq!(script.at(5000), [(5000, expected)]);
}

#[test]
fn a_search_that_takes_too_long_takes_what_it_has() {
    let limits = MatchLimits { search_steps_max: 50, ..MatchLimits::default() };
    let mut script = Script::with(limits);
    let some = |id: u64, query: Value| {
        json!({"queue": "chess", "size": {"min": 2, "max": 5}, "fill_s": 0,
               "properties": {"id": id}, "query": query})
    };
    let lonely = json!([{"property": "id", "equals": 1000}]);
    for id in 0..100 {
        assert_eq!(script.then(&some(id, lonely.clone())), []);
    }
    // Whether others would come along with the first takes longer to find out.
    assert_eq!(script.then(&some(1000, json!([]))), [Told::Matched(vec![1, 101], 2)]);
}

#[test]
fn ten_thousand_who_wait_are_not_all_looked_at() {
    let mut script = Script::new();
    let player = |n: u64, rank: u64| {
        let region = format!("region-{}", n % 20);
        json!({"queue": "chess", "size": 2, "timeout_s": 600,
               "properties": {"region": region, "rank": rank},
               "query": [{"property": "region", "equals": region},
                         {"property": "rank", "within": 4, "relax": {"after_s": 5, "to": 5}}]})
    };
    // 500 in each region, 10 ranks apart: nobody can play.
    for n in 0..10_000 {
        assert_eq!(script.then(&player(n, n / 20 * 10)), []);
    }
    let alone = script.matchmaker.counts().comparisons;
    // The other regions have the same ranks.
    assert!(alone <= 200_000, "{alone} comparisons, though nobody is near");
    script.at(6000);
    let relaxed = script.matchmaker.counts().comparisons - alone;
    assert!(relaxed <= 200_000, "{relaxed} comparisons for 10,000 who relaxed");
    // One more for each, next to it.
    let before = script.matchmaker.counts().comparisons;
    for n in 0..10_000 {
        assert_eq!(script.then(&player(n, n / 20 * 10 + 1)).len(), 1, "{n}");
    }
    let matching = script.matchmaker.counts().comparisons - before;
    assert!(matching <= 200_000, "{matching} comparisons for 10,000 matches");
    assert!(script.matchmaker.is_empty());
}

#[test]
fn work_for_too_long_is_done_in_turns() {
    let limits = MatchLimits { comparisons_per_turn: 500, ..MatchLimits::default() };
    let mut script = Script::with(limits);
    let picky = json!({"queue": "chess", "size": 3, "query": [
        {"property": "none", "equals": 1, "relax": {"after_s": 8}},
        {"property": "nothing", "equals": 1, "relax": {"after_s": 9}},
        {"property": "nobody", "equals": 1}]});
    let anybody = json!({"queue": "chess", "size": 3});
    for _ in 0..100 {
        script.post(&anybody);
        script.told();
        script.post(&picky);
    }
    let mut relaxing = picky;
    relaxing["query"][2] = json!({"property": "more", "equals": 1, "relax": {"after_s": 8}});
    for _ in 0..100 {
        script.post(&relaxing);
    }
    let due = Time::after_start(Duration::from_secs(9));
    script.now = due;
    let mut turns = 0;
    while script.matchmaker.poll_timeout().is_some_and(|at| at <= due) {
        let before = script.matchmaker.counts().comparisons;
        script.matchmaker.handle_timeout(due);
        let took = script.matchmaker.counts().comparisons - before;
        assert!(took < 500 + 300, "{took} in one turn");
        turns += 1;
    }
    assert!(turns > 5, "all was done in {turns} turns");
    let matched = |told: &Told| matches!(told, Told::Matched(tickets, 3) if tickets.len() == 3);
    let told = script.told();
    assert!(told.len() == 33 && told.iter().all(matched), "{told:?}");
}

#[test]
fn what_is_no_ticket_is_refused_and_says_why() {
    let limits = MatchLimits::default();
    let with = |more: Value| {
        let mut ticket = json!({"queue": "chess", "size": 2, "properties": {"rank": 5}});
        ticket.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ticket.to_string()
    };
    let query = |condition: Value| with(json!({"query": [condition]}));
    let many = |n: usize| (0..n).map(|n| (format!("p{n}"), json!(1))).collect::<Value>();
    let one = json!({"property": "rank", "equals": 5});
    for (text, why) in [
        (String::new(), "no ticket"),
        ("[]".to_owned(), "no ticket"),
        ("{}".to_owned(), "queue"),
        (r#"{"queue":"chess"}"#.to_owned(), "size"),
        (with(json!({"queue": "a b"})), "queue"),
        (with(json!({"queue": "x".repeat(65)})), "queue"),
        (with(json!({"size": 1})), "2 to 64"),
        (with(json!({"size": 65})), "2 to 64"),
        (with(json!({"size": -3})), "number of players"),
        (with(json!({"size": {"min": 3, "max": 2}})), "2 to 64"),
        (with(json!({"size": {"min": 1, "max": 2}})), "2 to 64"),
        (with(json!({"party": 0})), "party"),
        (with(json!({"party": 3})), "party"),
        (with(json!({"room": "a b"})), "room"),
        (with(json!({"room": "duel-1", "party": 2})), "fewer than the min"),
        (with(json!({"timeout_s": 0})), "timeout_s"),
        (with(json!({"timeout_s": 601})), "timeout_s"),
        (with(json!({"fill_s": 601})), "fill_s"),
        (with(json!({"properties": {"a b": 1}})), "property"),
        (with(json!({"properties": {"a": true}})), "a text or a number"),
        (with(json!({"properties": {"a": "x".repeat(65)}})), "64 bytes"),
        (with(json!({"properties": many(17)})), "16 properties"),
        (with(json!({"query": vec![one.clone(); 17]})), "16 conditions"),
        (query(json!({"property": "rank"})), "one of equals"),
        (query(json!({"property": "rank", "equals": 1, "within": 1})), "one of equals"),
        (query(json!({"property": "rank", "one_of": []})), "1 to 16"),
        (query(json!({"property": "rank", "one_of": vec![1; 17]})), "1 to 16"),
        (query(json!({"property": "rank", "within": -1})), "0 or more"),
        (query(json!({"property": "other", "within": 1})), "one's own"),
        (query(json!({"equals": 1})), "property"),
        (query(json!({"property": "rank", "equals": 1, "relax": {}})), "after_s"),
        (query(json!({"property": "rank", "equals": 1, "relax": {"after_s": 601}})), "after_s"),
        (
            query(json!({"property": "rank", "equals": 1, "relax": {"after_s": 1, "by": 1}})),
            "only within",
        ),
        (
            query(json!({"property": "rank", "within": 9, "relax": {"after_s": 1, "to": 8}})),
            "no less than within",
        ),
        (
            query(json!({"property": "rank", "within": 9, "relax": {"after_s": 1, "by": -1}})),
            "0 or more",
        ),
        (r#"{"queue":"chess","size":2,"properties":{"a":1e999}}"#.to_owned(), "no ticket"),
        (with(json!({"more": "x".repeat(4096)})), "4096 bytes"),
    ] {
        let bad = Ticket::parse(&text, &limits).expect_err(&text).to_string();
        assert!(bad.contains(why), "{text}: {bad}");
    }
    let good = with(json!({"query": vec![one; 16], "party": 2, "timeout_s": 600, "new": [1]}));
    assert!(Ticket::parse(&good, &limits).is_ok());
}
