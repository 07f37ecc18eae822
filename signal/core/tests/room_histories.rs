//! Random histories of rooms with rules: what docs/protocol.md promises of hosts, state, capacity
//! and order holds in all of them, as the clients see it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use signal_core::protocol::{LeaveReason, RulesPatch};
use signal_core::{
    Audience, Config, Detached, Grant, NewRoom, PeerId, PeerTaken, Role, RoomAction,
};
use std::collections::BTreeMap;
use std::time::Duration;
use support::{Desk, Seat, Visit, raw, room, told};

const EDGES: u64 = 9;

#[derive(Clone, Debug)]
enum Step {
    /// With a name it takes the place of who has that.
    Join {
        born_host: bool,
        name: Option<u8>,
    },
    Leave {
        edge: u64,
    },
    Lose {
        edge: u64,
        vanishes: bool,
    },
    Resume {
        edge: u64,
    },
    Broadcast {
        edge: u64,
    },
    /// Sets the state to one more than the client knows, if nobody was faster.
    Count {
        edge: u64,
        honest: bool,
    },
    Capacity {
        edge: u64,
        most: usize,
    },
    HandOver {
        edge: u64,
        to: u64,
        old: bool,
    },
    Kick {
        edge: u64,
        whom: u64,
    },
    Pass {
        ms: u64,
    },
}

/// What one client has seen of the room since its welcome.
#[derive(Debug)]
struct Client {
    seat: Seat,
    edge: Option<u64>,
    seq: u64,
    term: u64,
    host: Option<String>,
    version: u64,
    count: u64,
    capacity: usize,
    /// The room's events that all are told, as they came.
    seen: Vec<String>,
}

#[derive(Debug)]
struct World {
    desk: Desk,
    clients: Vec<Client>,
    last_edge: u64,
    /// Who was the host in which term.
    hosts: BTreeMap<u64, Option<String>>,
    /// How often the state was counted up, as those who did it believe.
    counted: u64,
    said: u64,
}

impl World {
    fn new() -> Self {
        let config = Config {
            news_per_s: 4,
            news_burst: 2,
            unacked_frames_max: 1 << 20,
            unacked_bytes_max: 1 << 30,
            host_patience: Duration::from_secs(2),
            peer_taken: PeerTaken::Replace,
            ..Config::default()
        };
        let mut desk = Desk::new(config);
        let state = Some(raw("0"));
        let idle = Some(Duration::from_secs(3600));
        let new = NewRoom { hosted: true, capacity: Some(4), state, idle, ..NewRoom::default() };
        desk.hub.handle_open_room(desk.now, &room("demo"), new).unwrap();
        let hosts = BTreeMap::from([(0, None)]);
        Self { desk, clients: Vec::new(), last_edge: 0, hosts, counted: 0, said: 0 }
    }

    fn of(&self, edge: u64) -> Option<usize> {
        let live: Vec<_> = (0..self.clients.len()).collect();
        live.get(edge as usize % EDGES as usize)
            .copied()
            .filter(|at| self.clients[*at].edge.is_some())
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Join { born_host, name } => self.join(born_host, name),
            Step::Leave { edge } => {
                if let Some(at) = self.of(edge) {
                    let client = self.clients.remove(at);
                    let outputs = self.desk.leave(client.edge.unwrap(), LeaveReason::Left);
                    self.read(outputs);
                }
            }
            Step::Lose { edge, vanishes } => {
                if let Some(at) = self.of(edge) {
                    let edge = self.clients[at].edge.take().unwrap();
                    let how = if vanishes { Detached::Vanished } else { Detached::Lost };
                    let outputs = self.desk.detach(edge, how);
                    self.read(outputs);
                }
            }
            Step::Resume { edge } => self.resume(edge),
            Step::Broadcast { edge } => {
                self.said += 1;
                let data = raw(&self.said.to_string());
                self.ask(edge, |_| RoomAction::Broadcast { data, to: Audience::All });
            }
            Step::Count { edge, honest } => {
                let before = self.clients.iter().map(|client| client.version).max();
                self.ask(edge, |client| {
                    let version = if honest { client.version } else { client.version + 7 };
                    let value = raw(&(client.count + 1).to_string());
                    RoomAction::State { value, if_version: Some(version) }
                });
                let after = self.clients.iter().map(|client| client.version).max();
                self.counted += u64::from(after > before);
            }
            Step::Capacity { edge, most } => self.ask(edge, |client| {
                let patch = RulesPatch { capacity: Some(most), ..RulesPatch::default() };
                RoomAction::Rules { patch, term: client.term }
            }),
            Step::HandOver { edge, to, old } => {
                let Some(to) = self.peer(to) else { return };
                self.ask(edge, |client| {
                    let term = client.term.saturating_sub(u64::from(old));
                    RoomAction::HandOver { to, term }
                });
            }
            Step::Kick { edge, whom } => {
                let Some(peer) = self.peer(whom) else { return };
                self.ask(edge, |client| RoomAction::Kick { peer, ban: false, term: client.term });
            }
            Step::Pass { ms } => {
                let time = self.desk.now.time.since_start() + Duration::from_millis(ms);
                let outputs = self.desk.at(time);
                self.read(outputs);
            }
        }
        let there = self.desk.hub.roster(&room("demo")).count();
        assert!(there <= 9);
    }

    fn peer(&self, edge: u64) -> Option<PeerId> {
        self.of(edge).map(|at| self.clients[at].seat.peer.clone())
    }

    fn ask(&mut self, edge: u64, what: impl FnOnce(&Client) -> RoomAction) {
        let Some(at) = self.of(edge) else { return };
        let client = &self.clients[at];
        let (edge, action) = (client.edge.unwrap(), what(client));
        let outputs = self.desk.ask(edge, action, None);
        self.read(outputs);
    }

    fn join(&mut self, born_host: bool, name: Option<u8>) {
        self.last_edge += 1;
        let edge = self.last_edge;
        let role = born_host.then(|| Role::parse("host").unwrap());
        let peer = name.map(|name| PeerId::parse(&format!("name-{name}")).unwrap());
        let there: Vec<PeerId> = self.desk.hub.roster(&room("demo")).cloned().collect();
        let is_new = peer.as_ref().is_none_or(|peer| !there.contains(peer));
        let before = there.len();
        let grant = Some(Grant { role, peer, ..Grant::default() });
        let (outputs, seat) = self.desk.visit(edge, "demo", Visit { grant, ..Visit::default() });
        if let Some(seat) = seat {
            let welcome = told(&outputs).into_iter().find(|(to, _)| *to == edge).unwrap().1;
            let about = &welcome["about"];
            let capacity = about["rules"]["capacity"].as_u64().unwrap() as usize;
            assert!(before < capacity || !is_new, "{before} were there, and {capacity} may be");
            let mut client = Client {
                seat,
                edge: Some(edge),
                seq: 1,
                term: about["term"].as_u64().unwrap(),
                host: about["host"].as_str().map(str::to_owned),
                version: about["state"]["version"].as_u64().unwrap(),
                count: about["state"]["value"].as_u64().unwrap(),
                capacity,
                seen: Vec::new(),
            };
            self.hosts.entry(client.term).or_insert_with(|| client.host.clone());
            assert_eq!(self.hosts[&client.term], client.host, "one host in a term");
            client.seq = welcome["seq"].as_u64().unwrap();
            self.clients.push(client);
        }
        self.read(outputs);
    }

    fn resume(&mut self, which: u64) {
        let away = self.clients.iter().position(|client| client.edge.is_none());
        let Some(at) = away.filter(|_| which < EDGES) else { return };
        self.last_edge += 1;
        let edge = self.last_edge;
        let client = &mut self.clients[at];
        client.edge = Some(edge);
        let (seat, seq) = (client.seat.clone(), client.seq);
        let outputs = self.desk.resume(edge, &seat, seq);
        if told(&outputs).iter().any(|(to, value)| *to == edge && value.get("refused").is_some()) {
            self.clients.remove(at);
        }
        self.read(outputs);
    }

    /// Everybody takes note of what it is told.
    fn read(&mut self, outputs: Vec<(u64, signal_core::Event)>) {
        for (edge, frame) in told(&outputs) {
            let at = self.clients.iter().position(|client| client.edge == Some(edge));
            let Some(at) = at else { continue };
            if frame.get("close").is_some() {
                self.clients.remove(at);
                continue;
            }
            if let Some(seq) = frame["seq"].as_u64() {
                let client = &mut self.clients[at];
                assert!(frame["type"] == "welcome" || seq == client.seq + 1, "{frame}");
                client.seq = seq;
            }
            let changes = frame["changes"].as_array().cloned().unwrap_or_else(|| vec![frame]);
            changes.iter().for_each(|change| self.take(at, change));
        }
    }

    fn take(&mut self, at: usize, frame: &Value) {
        let client = &mut self.clients[at];
        match frame["type"].as_str() {
            Some("host") => {
                let (term, host) = (frame["term"].as_u64().unwrap(), frame["peer"].as_str());
                let host = host.map(str::to_owned);
                assert!(term > client.term, "terms only grow");
                (client.term, client.host) = (term, host.clone());
                let known = self.hosts.entry(term).or_insert_with(|| host.clone());
                assert_eq!(*known, host, "one host in a term");
            }
            Some("state") => {
                let version = frame["version"].as_u64().unwrap();
                assert_eq!(version, client.version + 1, "nobody misses one");
                let count = frame["value"].as_u64().unwrap();
                assert_eq!(count, client.count + 1, "nobody overwrites what it hasn't seen");
                (client.version, client.count) = (version, count);
            }
            Some("rules") => client.capacity = frame["capacity"].as_u64().unwrap() as usize,
            Some("broadcast") => {}
            _ => return,
        }
        let mut seen = frame.clone();
        let fields = seen.as_object_mut().unwrap();
        fields.remove("seq");
        fields.remove("ack");
        client.seen.push(seen.to_string());
    }

    /// The weather clears: all that waits comes, and who is there agrees.
    fn end(&mut self) {
        for _ in 0..self.clients.len() {
            self.resume(0);
        }
        self.run(&Step::Pass { ms: 60_000 });
        let there: Vec<_> = self.clients.iter().filter(|client| client.edge.is_some()).collect();
        for pair in there.windows(2) {
            let [a, b] = pair else { unreachable!("windows of two") };
            assert_eq!((a.term, &a.host, a.version), (b.term, &b.host, b.version));
            let (long, short) = (&a.seen, &b.seen);
            let (long, short) =
                if long.len() < short.len() { (short, long) } else { (long, short) };
            assert!(long.ends_with(short), "all see the same order");
        }
        if let Some(client) = there.first() {
            assert_eq!(client.count, self.counted, "no update is lost");
            let host = client.host.as_deref().expect("who is there has a host");
            assert!(there.iter().any(|client| client.seat.peer.as_str() == host));
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let any_edge = || 0..EDGES;
    prop_oneof![
        6 => (prop::bool::weighted(0.2), prop::option::weighted(0.3, 0..3_u8))
            .prop_map(|(born_host, name)| Step::Join { born_host, name }),
        2 => any_edge().prop_map(|edge| Step::Leave { edge }),
        3 => (any_edge(), any::<bool>()).prop_map(|(edge, vanishes)| Step::Lose { edge, vanishes }),
        4 => any_edge().prop_map(|edge| Step::Resume { edge }),
        6 => any_edge().prop_map(|edge| Step::Broadcast { edge }),
        6 => (any_edge(), prop::bool::weighted(0.8))
            .prop_map(|(edge, honest)| Step::Count { edge, honest }),
        2 => (any_edge(), 1..9_usize).prop_map(|(edge, most)| Step::Capacity { edge, most }),
        3 => (any_edge(), any_edge(), prop::bool::weighted(0.3))
            .prop_map(|(edge, to, old)| Step::HandOver { edge, to, old }),
        1 => (any_edge(), any_edge()).prop_map(|(edge, whom)| Step::Kick { edge, whom }),
        6 => (0..4000_u64).prop_map(|ms| Step::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn one_host_no_lost_update_no_member_too_many_one_order(steps in vec(step(), 1..150)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        world.end();
    }
}
