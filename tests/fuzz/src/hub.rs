//! Rooms and sessions: whatever the edges ask, in whatever order, limits hold, nobody is told what
//! isn't theirs, and in the end nothing is left.

use crate::input::Input;
use heliograph_base::{Now, Secret, Time, UnixTime};
use serde_json::value::RawValue;
use signal_core::protocol::{ErrorCode, LeaveReason, Link, RulesPatch, ServerFrame, ServerMessage};
use signal_core::{
    Audience, Config, Detached, Diagnose, EdgeId, Event, Grant, Happening, Hub, IceUrls, Join,
    Metadata, NewRoom, Numbered, PairCounts, PairFacts, Password, PeerId, Purpose, Renew, Report,
    Request, Resume, Role, RoomAction, RoomId, RoomRequest, Seed, SessionKey, SessionName, Signal,
    Token, TurnKey, diagnose,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Edges that are used at a time; others follow them.
const EDGES: u64 = 12;

/// Runs a program of requests, full edges and time.
///
/// # Panics
/// If the hub breaks a promise.
pub fn hub(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut watch = Watch::new();
    while !input.is_empty() {
        watch.step(&mut input);
        watch.check();
    }
    watch.end();
}

/// A hub and what was seen of it.
struct Watch {
    config: Config,
    hub: Hub,
    now: Now,
    /// Which session each edge belongs to.
    edges: BTreeMap<u64, String>,
    sessions: BTreeMap<String, Session>,
    /// Those that are over, too: anybody may still try.
    names: Vec<(SessionName, SessionKey)>,
    generation: u64,
    /// The number that the request at hand acknowledges, if it is carried out.
    acks: Option<u64>,
}

/// What was seen of a session.
#[derive(Default)]
struct Session {
    room: String,
    /// The last frame that anybody was told, and the last that was acknowledged.
    last: u64,
    acked: u64,
    /// The last request that was carried out, as the client was told.
    done: u64,
}

impl Watch {
    fn new() -> Self {
        let config = Config {
            room_members_max: 4,
            rooms_max: 3,
            members_max: 8,
            unacked_frames_max: 12,
            unacked_bytes_max: 6000,
            ack_every: 4,
            room_joins_per_s: 2,
            room_joins_burst: 5,
            news_per_s: 4,
            news_burst: 3,
            news_max: 5,
            ..Config::default()
        };
        let secret = Secret::from_text("north").expect("it is long enough");
        let turn = TurnKey { secret, ttl: Duration::from_secs(60) };
        let seed = Seed { hub: 1, random: [7; 32] };
        Self {
            hub: Hub::new(config.clone(), Some(turn), &seed),
            config,
            now: Now { time: Time::START, unix: UnixTime::from_seconds(1_700_000_000) },
            edges: BTreeMap::new(),
            sessions: BTreeMap::new(),
            names: Vec::new(),
            generation: 0,
            acks: None,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let edge = self.generation * EDGES + u64::from(input.byte()) % EDGES;
        let request = match input.byte() % 24 {
            0..3 => self.join(input),
            3..6 => match self.resume(input) {
                Some(resume) => resume,
                None => return,
            },
            6..8 => Request::Ack(self.number(edge, input)),
            8..13 => self.signal(edge, input),
            13 => {
                let byte = input.byte();
                let (id, code) = (u64::from(byte % 16), ErrorCode::UnknownType);
                match byte / 16 {
                    0..13 => Request::Unreadable { id, code, text: "what?".to_owned() },
                    kind => {
                        let grant = self.grant(kind, "a").map(Box::new);
                        Request::Renew(Box::new(Renew {
                            token: Token::new("x"),
                            grant,
                            id: Some(id),
                        }))
                    }
                }
            }
            14 => Request::Leave(LeaveReason::Left),
            15 | 16 => Request::Detach(input.choose(&[
                Detached::Lost,
                Detached::Vanished,
                Detached::Between,
            ])),
            17 => return self.full(edge),
            18 => return self.pass(Duration::from_millis(10 * u64::from(input.word() % 4096))),
            20..24 => self.ask_room(edge, input),
            _ => match input.byte() % 16 {
                0 => {
                    self.generation += 1;
                    return;
                }
                1..10 => self.report(input),
                _ => Request::Diagnose(Box::new(Diagnose { peer: self.peer(input), id: Some(3) })),
            },
        };
        self.handle(edge, request);
    }

    fn join(&self, input: &mut Input<'_>) -> Request {
        let byte = input.byte();
        let room = ["a", "b", "c", "d"][usize::from(byte % 4)];
        let grant = self.grant(byte / 4 % 16, room).map(Box::new);
        let room = RoomId::parse(room).expect("it is one");
        let metadata = Metadata::new(None, 2).expect("nothing is an object");
        Request::Join(Box::new(Join {
            room,
            metadata,
            once: None,
            ice: ice(),
            create: self.new_room(byte).map(Box::new),
            password: byte.is_multiple_of(3).then(|| Password::new("x")),
            after: byte.is_multiple_of(5).then_some(u64::from(byte / 5)),
            source: Some(["ada", "bob"][usize::from(byte % 2)].into()),
            id: Some(1),
            token: None,
            grant,
        }))
    }

    fn new_room(&self, kind: u8) -> Option<NewRoom> {
        (kind / 4).is_multiple_of(4).then(|| NewRoom {
            capacity: (kind / 16).is_multiple_of(4).then_some(2),
            sealed: kind == 0,
            hosted: (kind / 32).is_multiple_of(2),
            password: (kind / 64 == 1).then(|| Password::new("x")),
            history: usize::from(kind / 64),
            idle: (kind / 64 == 2).then_some(IDLE),
            ..NewRoom::default()
        })
    }

    fn ask_room(&self, edge: u64, input: &mut Input<'_>) -> Request {
        let session = self.edges.get(&edge).and_then(|peer| self.sessions.get(peer));
        let (kind, term) = (input.byte(), u64::from(input.byte() % 8));
        let which = usize::from(input.byte());
        let peer = match which.checked_rem(self.names.len()) {
            Some(index) => self.names[index].0.peer.clone(),
            None => PeerId::parse("nobody").expect("it is an id"),
        };
        let json = || RawValue::from_string(which.to_string()).expect("it is JSON");
        let action = match kind % 8 {
            0 => RoomAction::Broadcast { data: json(), to: Audience::All },
            1 => RoomAction::Broadcast { data: json(), to: Audience::Peers(vec![peer]) },
            2 => RoomAction::State { value: json(), if_version: Some(term) },
            3 => RoomAction::Metadata(Metadata::new(None, 2).expect("nothing is an object")),
            4 => {
                let patch = RulesPatch {
                    capacity: Some(1 + which % 4),
                    sealed: Some(kind > 200),
                    ..RulesPatch::default()
                };
                RoomAction::Rules { patch, term }
            }
            5 => RoomAction::HandOver { to: peer, term },
            _ => RoomAction::Kick { peer, ban: kind > 128, term },
        };
        let done = session.map_or(0, |session| session.done);
        let id = (kind > 64).then_some(done + 1);
        Request::Room(Box::new(RoomRequest { action, id }))
    }

    fn report(&self, input: &mut Input<'_>) -> Request {
        let peer = self.peer(input);
        let states = ["connecting", "connected", "interrupted", "failed", "closed"];
        let (state, kind) = (input.choose(&states), input.choose(&["direct", "relayed"]));
        let text = format!(r#"{{"state":"{state}","path":{{"kind":"{kind}"}}}}"#);
        let link = Link::read(&text, self.config.link_bytes_max).expect("it is a link");
        Request::Report(Box::new(Report { peer, link: Box::new(link) }))
    }

    /// Somebody who is or was there, or nobody.
    fn peer(&self, input: &mut Input<'_>) -> PeerId {
        match usize::from(input.byte()).checked_rem(self.names.len()) {
            Some(index) => self.names[index].0.peer.clone(),
            None => PeerId::parse("nobody").expect("it is an id"),
        }
    }

    /// What a token might permit: a while, a role, and one of two peer ids of the room.
    fn grant(&self, kind: u8, room: &str) -> Option<Grant> {
        let peer = PeerId::parse(&format!("{room}-{}", kind % 2)).expect("it is one");
        let expires = self.now.time + Duration::from_secs(u64::from(kind));
        (kind > 5).then(|| Grant {
            peer: (kind > 9).then_some(peer),
            role: Some(Role::parse("host").expect("it is one")),
            subject: Some("ada".into()),
            expires: (kind != 9).then_some(expires),
            hold: None,
        })
    }

    fn resume(&self, input: &mut Input<'_>) -> Option<Request> {
        let which = usize::from(input.byte());
        let (name, key) = &self.names[which.checked_rem(self.names.len())?];
        let kind = input.byte();
        let key = match kind % 8 {
            0 => SessionKey::from_random([kind; 16]),
            _ => *key,
        };
        let seq = match self.sessions.get(name.peer.as_str()) {
            Some(session) => near(session.last, kind / 32),
            None => u64::from(kind),
        };
        let purpose = match kind / 8 % 4 {
            0 => Purpose::Send,
            is_oneway => Purpose::Listen { seq, ice: ice(), is_oneway: is_oneway == 1 },
        };
        Some(Request::Resume(Box::new(Resume {
            name: name.clone(),
            key,
            attempt: None,
            purpose,
            id: Some(2),
        })))
    }

    /// The number of a frame of the edge's session, or about that.
    fn number(&self, edge: u64, input: &mut Input<'_>) -> u64 {
        let session = self.edges.get(&edge).and_then(|peer| self.sessions.get(peer));
        near(session.map_or(0, |session| session.last), input.byte() % 8)
    }

    fn signal(&self, edge: u64, input: &mut Input<'_>) -> Request {
        let which = usize::from(input.byte());
        let to = match which.checked_rem(self.names.len()) {
            Some(index) => self.names[index].0.peer.clone(),
            None => PeerId::parse("nobody").expect("it is an id"),
        };
        let session = self.edges.get(&edge).and_then(|peer| self.sessions.get(peer));
        let kind = input.byte();
        let id = match kind % 4 {
            0 => None,
            1 => Some(u64::from(kind)),
            // Which one is next is guessed from what was acknowledged.
            _ => Some(session.map_or(0, |session| session.done) + u64::from(kind / 64) + 1),
        };
        let data = format!("\"{}\"", "x".repeat(usize::from(input.byte()) * 4));
        let data = RawValue::from_string(data).expect("it is JSON");
        let ack = (kind % 16 == 15).then(|| session.map_or(0, |session| session.last));
        Request::Signal(Signal { to, data, id, ack })
    }

    fn handle(&mut self, edge: u64, request: Request) {
        let wrong = match &request {
            Request::Resume(resume) => !self.is_key_right(resume),
            Request::Join(_)
            | Request::Renew(_)
            | Request::Ack(_)
            | Request::Signal(_)
            | Request::Room(_)
            | Request::Report(_)
            | Request::Diagnose(_)
            | Request::Unreadable { .. }
            | Request::Leave(_)
            | Request::Detach(_) => false,
        };
        let before = wrong.then(|| format!("{:?}", self.hub));
        self.acks = match &request {
            Request::Ack(seq) => Some(*seq),
            Request::Signal(signal) => signal.ack,
            Request::Resume(resume) => match resume.purpose {
                Purpose::Listen { seq, .. } => Some(seq),
                Purpose::Send => None,
            },
            Request::Join(_)
            | Request::Renew(_)
            | Request::Room(_)
            | Request::Report(_)
            | Request::Diagnose(_)
            | Request::Unreadable { .. }
            | Request::Leave(_)
            | Request::Detach(_) => None,
        };
        let is_ack = matches!(request, Request::Ack(_));
        if matches!(request, Request::Leave(_) | Request::Detach(_)) {
            self.edges.remove(&edge);
        }
        if matches!(request, Request::Signal(_)) {
            // It acknowledges only what has come, so that can't be refused.
            self.take_ack(edge);
        }
        self.hub.handle(self.now, EdgeId(edge), request);
        self.observe(Some(edge));
        if is_ack {
            self.take_ack(edge);
        }
        assert!(before.is_none_or(|before| before == format!("{:?}", self.hub)));
    }

    /// The request at hand was carried out: frames up to its number are forgotten.
    fn take_ack(&mut self, edge: u64) {
        let session = self.edges.get(&edge).and_then(|peer| self.sessions.get_mut(peer));
        if let (Some(session), Some(seq)) = (session, self.acks.take()) {
            session.acked = session.acked.max(seq);
        }
    }

    fn is_key_right(&self, resume: &Resume) -> bool {
        self.names.iter().any(|(name, key)| *name == resume.name && key.is(&resume.key))
    }

    fn full(&mut self, edge: u64) {
        self.hub.handle_full_edge(self.now.time, EdgeId(edge));
        self.observe(None);
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.time + duration;
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= end) {
            self.now.time = due.max(self.now.time);
            self.hub.handle_timeout(self.now);
            self.observe(None);
            assert!(self.hub.poll_timeout().is_none_or(|next| next > due), "it has done its work");
        }
        self.now.time = end;
    }

    /// Looks at all that was told; `asking` may be told without a seat.
    fn observe(&mut self, asking: Option<u64>) {
        let mut closed = BTreeSet::new();
        while let Some(output) = self.hub.poll_output() {
            let edge = output.to.0;
            assert!(!closed.contains(&edge), "nothing follows a close");
            assert!(self.edges.contains_key(&edge) || asking == Some(edge), "{edge} isn't known");
            match output.event {
                Event::Seated { peer } => {
                    assert_eq!(asking, Some(edge));
                    let twice = self.edges.insert(edge, peer.to_string());
                    assert!(twice.is_none(), "nobody is seated twice");
                }
                Event::Frame(frame) => self.observe_frame(edge, &frame),
                Event::Done { .. } => assert_eq!(asking, Some(edge)),
                Event::Facts(facts) => {
                    assert_eq!(asking, Some(edge));
                    self.check_facts(edge, &facts);
                }
                Event::Refused { .. } => {
                    assert_eq!(asking, Some(edge));
                    self.acks = None;
                }
                Event::Close(_) => {
                    self.edges.remove(&edge);
                    closed.insert(edge);
                }
            }
        }
        while let Some(happening) = self.hub.poll_happening() {
            let Happening::Left(gone) = happening else { continue };
            let session = self.sessions.remove(gone.peer.as_str()).expect("who is there leaves");
            assert_eq!(session.room, gone.room.as_str());
            assert!(self.edges.values().all(|peer| peer != gone.peer.as_str()), "edges end too");
        }
    }

    fn observe_frame(&mut self, edge: u64, frame: &Numbered) {
        let text = frame.text();
        let ServerMessage { seq, ack, frame } = ServerMessage::parse(text.as_str()).expect("reads");
        let peer = self.edges.get(&edge).expect("who is told frames has a session");
        if let ServerFrame::Welcome(welcome) = &frame
            && !self.sessions.contains_key(peer)
        {
            let name = SessionName::parse(&welcome.session).expect("it is a name");
            let key = SessionKey::parse(&welcome.key).expect("it is a key");
            let session = Session { room: welcome.room.to_string(), ..Session::default() };
            self.names.push((name, key));
            self.sessions.insert(peer.clone(), session);
        }
        if matches!(frame, ServerFrame::Resumed { .. }) {
            return self.take_ack(edge);
        }
        let session = self.sessions.get_mut(peer).expect("it was welcomed");
        if let Some(seq) = seq {
            let is_resync = matches!(frame, ServerFrame::Resync(_));
            // Of what came while nobody listened only the number of the last is known.
            session.last = session.last.max(seq);
            assert!(seq > 0 && (is_resync || seq > session.acked), "{seq} was acknowledged");
            let kept = session.last - session.acked;
            assert!(is_resync || kept <= self.config.unacked_frames_max as u64, "{kept}");
            session.acked = if is_resync { session.acked.max(seq - 1) } else { session.acked };
        }
        if let (Some(ack), false) = (ack, matches!(frame, ServerFrame::Welcome(_))) {
            session.done = session.done.max(ack);
        }
    }

    /// Who asks is told of its own room, and only of who is in it.
    fn check_facts(&self, edge: u64, facts: &PairFacts) {
        let own = self.edges.get(&edge).expect("who is told facts has a session");
        assert_eq!(own, facts.yours.peer.as_str());
        let room = |peer: &PeerId| self.sessions.get(peer.as_str()).map(|it| it.room.as_str());
        assert_eq!(room(&facts.yours.peer), Some(facts.room.as_str()));
        let other = facts.theirs.as_ref().map(|theirs| &theirs.peer);
        assert_eq!(other.is_some(), facts.metadata.is_some());
        assert!(other.is_none_or(|other| *other == facts.peer));
        assert!(other.is_none_or(|other| room(other) == Some(facts.room.as_str())));
        assert!(!diagnose(facts.clone(), None).text.is_empty());
    }

    fn check(&self) {
        let counts = self.hub.counts();
        assert_eq!(counts.members, self.sessions.len() as u64);
        let rooms: BTreeSet<_> = self.sessions.values().map(|session| &session.room).collect();
        // Some may wait for members.
        assert!(counts.rooms >= rooms.len() as u64);
        assert!(counts.members <= self.config.members_max as u64);
        assert!(counts.rooms <= self.config.rooms_max as u64);
        let mut pairs = 0;
        for room in rooms {
            let room = RoomId::parse(room).expect("it is one");
            let details = self.hub.room_details(&room, usize::MAX).expect("it has members");
            pairs += details.pairs.len() as u64;
            let members: Vec<_> = self.hub.roster(&room).collect();
            assert!(members.len() <= self.config.room_members_max);
            assert!(members.iter().all(|peer| self.sessions.contains_key(peer.as_str())));
        }
        let PairCounts { direct, relayed, connecting, interrupted, failed } = counts.pairs;
        assert_eq!(pairs, direct + relayed + connecting + interrupted + failed);
        for edge in 0..(self.generation + 1) * EDGES {
            assert_eq!(self.hub.knows(EdgeId(edge)), self.edges.contains_key(&edge), "{edge}");
        }
    }

    /// All connections break; nothing is left behind the grace.
    fn end(&mut self) {
        for edge in 0..(self.generation + 1) * EDGES {
            self.handle(edge, Request::Detach(Detached::Lost));
        }
        self.pass(self.config.grace + IDLE);
        self.check();
        let counts = self.hub.counts();
        assert_eq!((counts.members, counts.rooms, self.hub.poll_timeout()), (0, 0, None));
    }
}

/// For how long some rooms wait for members.
const IDLE: Duration = Duration::from_secs(3);

/// `number`, or another one not far away.
fn near(number: u64, how: u8) -> u64 {
    match how {
        0..4 => number,
        4..6 => number.saturating_sub(u64::from(how) - 3),
        6 => number + 1,
        _ => number + 1000,
    }
}

fn ice() -> Arc<IceUrls> {
    let urls = |url: &str| vec![url.to_owned()];
    Arc::new(IceUrls {
        stun: urls("stun:192.0.2.1:3478"),
        turn: urls("turn:192.0.2.1:3478"),
        others: Vec::new(),
    })
}
