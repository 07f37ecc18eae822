//! Random histories of joins, signals, leaves and full outboxes: what docs/protocol.md promises
//! holds in all of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use signal_core::protocol::LeaveReason;
use signal_core::{Config, Event, PeerId, SessionId};
use std::collections::{BTreeMap, HashSet, VecDeque};
use support::{Desk, json, room};

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];

/// Small, so that every limit is met often.
fn config() -> Config {
    Config { room_members_max: 4, rooms_max: 3, members_max: 9, ..Config::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Join { room: usize },
    Signal { from: usize, to: usize },
    Leave { who: usize },
    FullOutbox { who: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..16_usize;
    prop_oneof![
        4 => (0..ROOMS.len()).prop_map(|room| Step::Join { room }),
        6 => (who.clone(), who.clone()).prop_map(|(from, to)| Step::Signal { from, to }),
        2 => who.clone().prop_map(|who| Step::Leave { who }),
        1 => who.prop_map(|who| Step::FullOutbox { who }),
    ]
}

/// What one client knows, from nothing but what it was told.
#[derive(Debug)]
struct View {
    room: &'static str,
    peer: PeerId,
    /// Peer, whether this client is polite towards it, whether this client offers.
    roster: Vec<(String, bool, bool)>,
    gone: HashSet<String>,
    /// What is on its way to this client, by sender: only to be delivered in this order.
    awaited: BTreeMap<String, VecDeque<u64>>,
}

#[derive(Debug)]
struct World {
    desk: Desk,
    views: BTreeMap<u64, View>,
    last_session: u64,
    last_signal: u64,
}

impl World {
    fn new() -> Self {
        let desk = Desk::new(config());
        Self { desk, views: BTreeMap::new(), last_session: 0, last_signal: 0 }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Join { room } => self.join(ROOMS[room]),
            Step::Signal { from, to } => self.signal(from, to),
            Step::Leave { who } => {
                let Some(session) = self.pick(who) else {
                    return;
                };
                self.views.remove(&session);
                let outputs = self.desk.leave(session, LeaveReason::Left);
                self.tell(outputs);
            }
            Step::FullOutbox { who } => {
                let Some(session) = self.pick(who) else {
                    return;
                };
                let outputs = self.desk.full_outbox(session);
                self.tell(outputs);
                assert!(!self.views.contains_key(&session), "it was closed");
            }
        }
        self.check();
    }

    fn pick(&self, who: usize) -> Option<u64> {
        let index = who.checked_rem(self.views.len())?;
        self.views.keys().nth(index).copied()
    }

    fn join(&mut self, name: &'static str) {
        self.last_session += 1;
        let session = self.last_session;
        let there = self.views.values().filter(|view| view.room == name).count();
        let rooms: HashSet<_> = self.views.values().map(|view| view.room).collect();
        let fits = there < config().room_members_max
            && self.views.len() < config().members_max
            && (there > 0 || rooms.len() < config().rooms_max);
        let (outputs, peer) = self.desk.join(session, name);
        assert_eq!(peer.is_some(), fits);
        if let Some(peer) = peer {
            let (roster, gone, awaited) = (Vec::new(), HashSet::new(), BTreeMap::new());
            self.views.insert(session, View { room: name, peer, roster, gone, awaited });
        }
        self.tell(outputs);
    }

    fn signal(&mut self, from: usize, to: usize) {
        let (Some(from), Some(to)) = (self.pick(from), self.pick(to)) else {
            return;
        };
        self.last_signal += 1;
        let (sender, peer) = (&self.views[&from], self.views[&to].peer.clone());
        let passes = from != to && sender.room == self.views[&to].room;
        let sender = sender.peer.to_string();
        if passes {
            let view = self.views.get_mut(&to).unwrap();
            view.awaited.entry(sender).or_default().push_back(self.last_signal);
        }
        let outputs = self.desk.signal(from, &peer, &self.last_signal.to_string());
        let refused = matches!(outputs.as_slice(), [(_, Event::Refused { .. })]);
        assert_eq!(refused, !passes);
        self.tell(outputs);
    }

    fn tell(&mut self, outputs: Vec<(u64, Event)>) {
        for (to, event) in outputs {
            match event {
                Event::Refused { .. } => {}
                Event::Close(_) => drop(self.views.remove(&to)),
                Event::Seated { welcome: frame, .. } | Event::Frame(frame) => {
                    self.views.get_mut(&to).expect("a member").read(&json(&frame));
                }
            }
        }
    }

    /// What the clients know is what is, and no two of a pair have the same role.
    fn check(&self) {
        for (session, view) in &self.views {
            let room = room(view.room);
            let roster = self.desk.hub.roster(&room);
            let others = roster.filter(|(other, _)| *other != SessionId(*session));
            let others: Vec<_> = others.map(|(_, peer)| peer.to_string()).collect();
            let known: Vec<_> = view.roster.iter().map(|(peer, ..)| peer.clone()).collect();
            assert_eq!(known, others, "of {session}");
            assert!(view.awaited.values().all(VecDeque::is_empty), "all was delivered");
            for (peer, polite, offers) in &view.roster {
                let other = self.views.values().find(|view| view.peer.as_str() == peer).unwrap();
                let me = view.peer.as_str();
                let mirror = other.roster.iter().find(|(peer, ..)| peer == me).unwrap();
                assert_eq!((mirror.1, mirror.2), (!polite, !offers), "one of each pair");
            }
        }
        let rooms: HashSet<_> = self.views.values().map(|view| view.room).collect();
        let counts = self.desk.hub.counts();
        assert_eq!(counts.members, self.views.len() as u64);
        assert_eq!(counts.rooms, rooms.len() as u64, "empty rooms vanish");
    }
}

impl View {
    fn read(&mut self, frame: &Value) {
        match frame["type"].as_str().unwrap() {
            "welcome" => {
                assert_eq!(frame["peer"], self.peer.as_str());
                frame["members"].as_array().unwrap().iter().for_each(|member| self.meet(member));
            }
            "joined" => self.meet(frame),
            "left" => {
                let peer = frame["peer"].as_str().unwrap();
                let index = self.roster.iter().position(|(known, ..)| known == peer);
                self.roster.remove(index.expect("only who was there leaves"));
                self.gone.insert(peer.to_owned());
            }
            "signal" => {
                let from = frame["from"].as_str().unwrap();
                assert!(
                    self.roster.iter().any(|(peer, ..)| peer == from),
                    "announced, and not gone"
                );
                let next = self.awaited.get_mut(from).and_then(VecDeque::pop_front);
                assert_eq!(next, frame["data"].as_u64(), "in the order of sending");
            }
            other => panic!("{other}"),
        }
    }

    fn meet(&mut self, member: &Value) {
        let peer = member["peer"].as_str().unwrap().to_owned();
        assert!(!self.gone.contains(&peer), "nobody has an id again");
        assert!(self.roster.iter().all(|(known, ..)| *known != peer), "announced once");
        let flag = |name: &str| member[name].as_bool().unwrap();
        self.roster.push((peer, flag("polite"), flag("offers")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_clients_are_told_is_what_is(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        while !world.views.is_empty() {
            world.run(&Step::Leave { who: 0 });
        }
    }
}
