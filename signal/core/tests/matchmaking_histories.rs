//! Random histories of tickets: what docs/decisions/0012-matchmaking.md promises holds in all of
//! them.
//!
//! The reference below knows the rule and nothing of how the matchmaker keeps to it: it tries every
//! set of tickets. After each step both must have made the same matches, and nobody may be left
//! who could go.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use heliograph_base::Time;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngAlgorithm;
use serde_json::{Value, json};
use signal_core::MatchLimits;
use signal_core::matchmaking::{MatchOutput, Matchmaker, Ticket, TicketNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// As many tickets wait at most: the reference tries every set of them.
const WAITING_MAX: usize = 9;

/// The room of players who have one.
const THEIRS: &str = "theirs";

/// A ticket, as a test has it.
#[derive(Clone, Debug)]
struct Ask {
    queue: u8,
    least: u32,
    more: u32,
    party: u32,
    /// Its players are in a room already.
    has_room: bool,
    region: Option<u8>,
    rank: i64,
    regions: Option<(Vec<u8>, Option<u64>)>,
    within: Option<(i64, Option<Widening>)>,
    fill_s: u64,
    timeout_s: u64,
}

#[derive(Clone, Debug)]
struct Widening {
    after_s: u64,
    by: Option<i64>,
    beyond: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Post(Ask),
    Cancel(usize),
    Pass(u64),
}

fn ask() -> impl Strategy<Value = Ask> {
    let has_room = prop_oneof![5 => Just(false), 1 => Just(true)];
    let size = (2..5_u32, 0..3_u32, 1..3_u32, has_room);
    let region = prop_oneof![1 => Just(None), 6 => (0..3_u8).prop_map(Some)];
    let regions = option::of((vec(0..3_u8, 1..3), option::of(0..5_u64)));
    let widening = (0..5_u64, option::of(1..3_i64), option::of(0..6_i64))
        .prop_map(|(after_s, by, beyond)| Widening { after_s, by, beyond });
    let within = option::of((0..4_i64, option::weighted(0.8, widening)));
    let times = (0..4_u64, 1..20_u64);
    let queue = prop_oneof![8 => Just(0_u8), 1 => Just(1)];
    (queue, size, region, 0..12_i64, regions, within, times).prop_map(
        |(queue, size, region, rank, regions, within, (fill_s, timeout_s))| {
            let (least, more, party, has_room) = size;
            let party = if has_room { party.min(least - 1) } else { party };
            Ask {
                queue,
                least,
                more,
                party,
                has_room,
                region,
                rank,
                regions,
                within,
                fill_s,
                timeout_s,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => ask().prop_map(Step::Post),
        1 => (0..WAITING_MAX).prop_map(Step::Cancel),
        4 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

impl Ask {
    fn json(&self) -> Value {
        let mut properties = json!({"rank": self.rank});
        if let Some(region) = self.region {
            properties["region"] = json!(region.to_string());
        }
        let mut query = Vec::new();
        if let Some((regions, after_s)) = &self.regions {
            let regions: Vec<_> = regions.iter().map(u8::to_string).collect();
            let mut condition = match &regions[..] {
                [one] => json!({"property": "region", "equals": one}),
                several => json!({"property": "region", "one_of": several}),
            };
            if let Some(after_s) = after_s {
                condition["relax"] = json!({"after_s": after_s});
            }
            query.push(condition);
        }
        if let Some((within, widening)) = &self.within {
            let mut condition = json!({"property": "rank", "within": within});
            if let Some(Widening { after_s, by, beyond }) = widening {
                let to = beyond.map(|beyond| within + beyond);
                condition["relax"] = json!({"after_s": after_s, "by": by, "to": to});
            }
            query.push(condition);
        }
        json!({
            "queue": format!("queue-{}", self.queue),
            "size": {"min": self.least, "max": self.most()},
            "party": self.party,
            "room": self.has_room.then_some(THEIRS),
            "properties": properties,
            "query": query,
            "fill_s": self.fill_s,
            "timeout_s": self.timeout_s,
        })
    }

    fn most(&self) -> u32 {
        self.least + self.more
    }

    /// Whether it accepts another after so many milliseconds.
    fn accepts(&self, waited_ms: u64, other: &Self) -> bool {
        let region = self.regions.as_ref().is_none_or(|(regions, after_s)| {
            let is_over = after_s.is_some_and(|after_s| waited_ms >= after_s * 1000);
            is_over || other.region.is_some_and(|region| regions.contains(&region))
        });
        let rank = self.within.as_ref().is_none_or(|(within, widening)| {
            let begun = widening.as_ref().filter(|it| waited_ms >= it.after_s * 1000);
            let apart = (self.rank - other.rank).abs();
            match begun {
                None => apart <= *within,
                Some(Widening { by: None, beyond: None, .. }) => true,
                Some(Widening { by: None, beyond: Some(beyond), .. }) => apart <= within + beyond,
                Some(Widening { by: Some(by), beyond, after_s }) => {
                    let wider = by * ((waited_ms - after_s * 1000) / 1000) as i64;
                    apart <= within + beyond.map_or(wider, |beyond| wider.min(beyond))
                }
            }
        });
        let is_one_room = !(self.has_room && other.has_room);
        self.queue == other.queue && is_one_room && region && rank
    }

    /// Whether it has become less demanding just now.
    fn has_relaxed(&self, waited_ms: u64) -> bool {
        let is = |after_s: u64| waited_ms == after_s * 1000;
        let region = self.regions.as_ref().and_then(|(_, after_s)| *after_s).is_some_and(is);
        let widening = self.within.as_ref().and_then(|(_, widening)| widening.as_ref());
        let rank = widening.is_some_and(|it| match it.by {
            None => is(it.after_s) && it.beyond != Some(0),
            Some(by) => {
                let since = waited_ms as i64 - it.after_s as i64 * 1000;
                let before = by * (since / 1000 - 1);
                since > 0 && since % 1000 == 0 && it.beyond.is_none_or(|beyond| before < beyond)
            }
        });
        region || rank || (self.more > 0 && is(self.fill_s))
    }
}

/// The matchmaker beside the reference.
struct World {
    matchmaker: Matchmaker,
    now_ms: u64,
    /// The reference: tickets that wait, by number, since when.
    waiting: BTreeMap<u64, (Ask, u64)>,
    /// Those that have a room, of all that ever came.
    roomy: BTreeSet<u64>,
    /// What both made, in the order of making; an expired ticket is alone.
    expected: Vec<Vec<u64>>,
    actual: Vec<Vec<u64>>,
    last: u64,
}

impl World {
    fn new() -> Self {
        let matchmaker = Matchmaker::new(MatchLimits::default(), [5; 32]);
        let (waiting, roomy, expected, actual) = Default::default();
        Self { matchmaker, now_ms: 0, waiting, roomy, expected, actual, last: 0 }
    }

    fn now(&self) -> Time {
        Time::after_start(Duration::from_millis(self.now_ms))
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Post(ask) if self.waiting.len() < WAITING_MAX => self.post(ask),
            Step::Post(_) => {}
            Step::Cancel(which) => {
                let number = self.waiting.keys().nth(*which).copied();
                if let Some(number) = number {
                    self.waiting.remove(&number);
                    assert!(self.matchmaker.handle_cancel(TicketNumber(number)));
                }
            }
            Step::Pass(ms) => {
                let end = self.now_ms + ms;
                // Whatever changes does so whole seconds after a ticket came.
                let next = |since: &u64, now: u64| since + ((now - since) / 1000 + 1) * 1000;
                while self.now_ms < end {
                    let times = self.waiting.values().map(|(_, since)| next(since, self.now_ms));
                    self.now_ms = times.min().unwrap_or(end).min(end);
                    self.tick();
                }
            }
        }
        self.check();
    }

    fn post(&mut self, ask: &Ask) {
        let ticket = Ticket::parse(&ask.json().to_string(), &MatchLimits::default()).unwrap();
        let number = self.matchmaker.handle_ticket(self.now(), ticket).unwrap().0;
        assert_eq!(number, self.last + 1);
        self.last = number;
        self.roomy.extend(ask.has_room.then_some(number));
        self.waiting.insert(number, (ask.clone(), self.now_ms));
        self.settle(number);
    }

    /// What the time brings: first to those who relax, in the order of age, then to those who end.
    fn tick(&mut self) {
        let now = self.now();
        if self.matchmaker.poll_timeout().is_some_and(|due| due <= now) {
            self.matchmaker.handle_timeout(now);
        }
        let relaxing = self.waiting.iter();
        let relaxing = relaxing.filter(|(_, (ask, since))| ask.has_relaxed(self.now_ms - since));
        let relaxing: Vec<u64> = relaxing.map(|(number, _)| *number).collect();
        for number in relaxing {
            self.settle(number);
        }
        let ends = self.waiting.iter();
        let ends = ends.filter(|(_, (ask, since))| self.now_ms - since >= ask.timeout_s * 1000);
        let ends: Vec<u64> = ends.map(|(number, _)| *number).collect();
        for number in ends {
            self.waiting.remove(&number);
            self.expected.push(vec![number]);
        }
    }

    /// The group of a ticket that came or relaxed goes, if there is one.
    fn settle(&mut self, number: u64) {
        if !self.waiting.contains_key(&number) {
            return;
        }
        let groups = self.groups().into_iter().filter(|group| group.contains(&number));
        // Where they first differ the older one decides; who isn't there is younger than all.
        let age = |group: &Vec<u64>| [&group[..], &[u64::MAX]].concat();
        if let Some(best) = groups.min_by_key(age) {
            for number in &best {
                self.waiting.remove(number);
            }
            self.expected.push(best);
        }
    }

    /// All sets of tickets that may go now.
    fn groups(&self) -> Vec<Vec<u64>> {
        let all = self.waiting.iter().map(|(number, (ask, since))| (*number, ask, since));
        let all: Vec<_> = all.collect();
        let sets = (1_u32..1 << all.len())
            .map(|set| (0..all.len()).filter(|place| set >> place & 1 == 1).collect::<Vec<_>>());
        sets.filter(|set| self.may_go(&set.iter().map(|place| all[*place]).collect::<Vec<_>>()))
            .map(|set| set.into_iter().map(|place| all[place].0).collect())
            .collect()
    }

    fn may_go(&self, group: &[(u64, &Ask, &u64)]) -> bool {
        let seats: u32 = group.iter().map(|(_, ask, _)| ask.party).sum();
        let most = group.iter().map(|(_, ask, _)| ask.most()).min().unwrap();
        let least = group.iter().map(|(_, ask, _)| ask.least).max().unwrap();
        let patient = group.iter().filter(|(_, ask, since)| {
            let waited = self.now_ms - **since;
            waited >= ask.fill_s * 1000
        });
        let patient: u32 = patient.map(|(_, ask, _)| ask.party).sum();
        let fits = (least..=most).contains(&seats) && (seats == most || patient >= least);
        fits && group.iter().all(|(number, ask, since)| {
            let mut others = group.iter().filter(|(other, ..)| other != number);
            others.all(|(_, other, _)| ask.accepts(self.now_ms - **since, other))
        })
    }

    fn check(&mut self) {
        while let Some(output) = self.matchmaker.poll_output() {
            self.actual.push(match output {
                MatchOutput::Matched { places, players, room } => {
                    let seats = places.iter().flat_map(|place| place.seats.clone());
                    assert!(seats.eq(0..players), "each seat once");
                    let mut numbers: Vec<_> = places.iter().map(|place| place.ticket.0).collect();
                    let have_room = self.roomy.contains(&numbers[0]);
                    assert_eq!(room.as_str() == THEIRS, have_room);
                    assert!(!numbers[1..].iter().any(|other| self.roomy.contains(other)));
                    assert!(!have_room || numbers.len() > 1, "somebody comes");
                    numbers.sort_unstable();
                    numbers
                }
                MatchOutput::Expired(ticket) => vec![ticket.0],
            });
        }
        assert_eq!(self.actual, self.expected);
        assert_eq!(self.matchmaker.counts().waiting, self.waiting.len() as u64);
        assert_eq!(self.groups(), Vec::<Vec<u64>>::new(), "nobody waits who could go");
        assert_eq!(self.matchmaker.is_empty(), self.waiting.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        // The default one takes half of the time.
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_oldest_group_goes_as_soon_as_there_is_one(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        world.run(&Step::Pass(20_000));
        prop_assert!(world.matchmaker.is_empty(), "everything is freed");
    }
}
