//! Random histories of reports: what the hub keeps, counts and tells of pairs is what a plain list
//! of all that was said gives.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use signal_core::protocol::{LeaveReason, Link, LinkState};
use signal_core::{
    Config, Detached, Diagnose, Event, PairCounts, PairFacts, PeerId, Report, Request, SeatFacts,
};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{Desk, room};

const REPORTS_MAX: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    Join,
    Leave { who: usize },
    Lose { who: usize },
    Report { who: usize, about: usize, state: usize },
    Diagnose { who: usize, about: usize },
    Pass { ms: u64 },
}

const STATES: [&str; 5] = ["connecting", "connected", "interrupted", "failed", "closed"];

/// A hub, and a list of what was said in it.
struct World {
    desk: Desk,
    /// Who is in the room, by edge; none: it has no connection.
    members: Vec<(PeerId, Option<u64>)>,
    /// Who said what of whom, oldest first.
    said: Vec<(PeerId, PeerId, &'static str)>,
    last_edge: u64,
}

impl World {
    fn new() -> Self {
        let config = Config { reports_max: REPORTS_MAX, diagnoses_per_s: 0, ..Config::default() };
        Self { desk: Desk::new(config), members: Vec::new(), said: Vec::new(), last_edge: 0 }
    }

    fn member(&self, which: usize) -> Option<(PeerId, Option<u64>)> {
        self.members.get(which.checked_rem(self.members.len())?).cloned()
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Join if self.members.len() < 6 => {
                self.last_edge += 1;
                let peer = self.desk.seat(self.last_edge, "demo").peer;
                self.members.push((peer, Some(self.last_edge)));
            }
            Step::Join => {}
            Step::Leave { who } => {
                if let Some((peer, Some(edge))) = self.member(who) {
                    self.desk.leave(edge, LeaveReason::Left);
                    self.forget(&peer);
                }
            }
            Step::Lose { who } => {
                if let Some((peer, Some(edge))) = self.member(who) {
                    self.desk.detach(edge, Detached::Lost);
                    let lost = self.members.iter_mut().find(|(other, _)| *other == peer);
                    lost.unwrap().1 = None;
                }
            }
            Step::Report { who, about, state } => self.report(who, about, STATES[state]),
            Step::Diagnose { who, about } => self.diagnose(who, about),
            Step::Pass { ms } => {
                let time = self.desk.now.time.since_start() + Duration::from_millis(ms);
                self.desk.at(time);
                let there: Vec<_> = self.desk.hub.roster(&room("demo")).cloned().collect();
                let members = self.members.iter().map(|(peer, _)| peer.clone());
                let gone: Vec<_> = members.filter(|peer| !there.contains(peer)).collect();
                gone.iter().for_each(|peer| self.forget(peer));
            }
        }
    }

    fn forget(&mut self, peer: &PeerId) {
        self.members.retain(|(other, _)| other != peer);
        self.said.retain(|(by, about, _)| by != peer && about != peer);
    }

    fn report(&mut self, who: usize, about: usize, state: &'static str) {
        let (Some((by, Some(edge))), Some((about, _))) = (self.member(who), self.member(about))
        else {
            return;
        };
        let link = Link::read(&format!(r#"{{"state":"{state}"}}"#), 2048).unwrap();
        let report = Report { peer: about.clone(), link: Box::new(link) };
        let outputs = self.desk.handle(edge, Request::Report(Box::new(report)));
        assert!(outputs.is_empty());
        if by == about {
            return;
        }
        self.said.retain(|(other, whom, _)| (other, whom) != (&by, &about));
        self.said.push((by.clone(), about, state));
        let own = self.said.iter().filter(|(other, ..)| *other == by).count();
        if own > REPORTS_MAX {
            let oldest = self.said.iter().position(|(other, ..)| *other == by).unwrap();
            self.said.remove(oldest);
        }
    }

    fn diagnose(&mut self, who: usize, about: usize) {
        let (Some((by, Some(edge))), Some((about, _))) = (self.member(who), self.member(about))
        else {
            return;
        };
        let ask = Diagnose { peer: about.clone(), id: None };
        let outputs = self.desk.handle(edge, Request::Diagnose(Box::new(ask)));
        let facts = outputs.into_iter().find_map(|(_, event)| match &event {
            Event::Facts(facts) => Some((**facts).clone()),
            Event::Refused { .. } => None,
            Event::Seated { .. } | Event::Frame(_) | Event::Done { .. } | Event::Close(_) => {
                panic!("facts or a refusal, not {event:?}")
            }
        });
        let Some(PairFacts { yours, theirs, .. }) = facts else { return assert_eq!(by, about) };
        let known = |seat: SeatFacts| seat.report.and_then(|(_, link)| link.state);
        assert_eq!(known(yours), self.known(&by, &about).map(state_of));
        assert_eq!(known(theirs.unwrap()), self.known(&about, &by).map(state_of));
    }

    fn known(&self, by: &PeerId, about: &PeerId) -> Option<&'static str> {
        let found = self.said.iter().find(|(other, whom, _)| (other, whom) == (by, about));
        found.map(|(.., state)| *state)
    }

    /// The counts as the list gives them, and the pairs that are listed.
    fn check(&self) {
        let mut pairs: BTreeMap<[&PeerId; 2], Vec<&str>> = BTreeMap::new();
        for (by, about, state) in &self.said {
            let mut pair = [by, about];
            pair.sort_unstable();
            pairs.entry(pair).or_default().push(state);
        }
        let order = ["closed", "connected", "interrupted", "failed", "connecting"];
        let mut counts = PairCounts::default();
        for said in pairs.values() {
            match order.into_iter().find(|state| said.contains(state)) {
                Some("connected") => counts.direct += 1,
                Some("interrupted") => counts.interrupted += 1,
                Some("failed") => counts.failed += 1,
                Some("connecting") => counts.connecting += 1,
                _ => {}
            }
        }
        assert_eq!(self.desk.hub.counts().pairs, counts);
        let PairCounts { direct, relayed, connecting, interrupted, failed } = counts;
        let listed = self.desk.hub.room_details(&room("demo"), usize::MAX);
        let listed = listed.map_or(0, |details| details.pairs.len() as u64);
        assert_eq!(listed, direct + relayed + connecting + interrupted + failed);
    }
}

fn state_of(name: &str) -> LinkState {
    serde_json::from_str(&format!("\"{name}\"")).unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    let any = || 0..6_usize;
    prop_oneof![
        4 => Just(Step::Join),
        1 => any().prop_map(|who| Step::Leave { who }),
        1 => any().prop_map(|who| Step::Lose { who }),
        12 => (any(), any(), 0..5_usize)
            .prop_map(|(who, about, state)| Step::Report { who, about, state }),
        4 => (any(), any()).prop_map(|(who, about)| Step::Diagnose { who, about }),
        1 => (0..20_000_u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_hub_keeps_what_a_plain_list_gives(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
    }
}
