//! A hub in virtual time, and what its edges are told.

#![allow(dead_code, reason = "each test program uses its part")]

use heliograph_base::{Now, Secret, Time, UnixTime};
use serde_json::Value;
use serde_json::value::RawValue;
use signal_core::protocol::LeaveReason;
use signal_core::{
    Config, Detached, EdgeId, Event, FrameText, Grant, Happening, Hub, IceUrls, Join, Metadata,
    NewRoom, Once, Password, PeerId, Purpose, Request, Resume, RoomAction, RoomId, RoomRequest,
    Seed, SessionKey, SessionName, Signal, TurnKey,
};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const NOW: Now = Now { time: Time::START, unix: UnixTime { seconds: 1_700_000_000 } };

pub(crate) fn turn_key() -> TurnKey {
    TurnKey { secret: Secret::from_text("north").unwrap(), ttl: Duration::from_secs(3600) }
}

pub(crate) fn ice() -> Arc<IceUrls> {
    Arc::new(IceUrls {
        stun: vec!["stun:192.0.2.1:3478".to_owned()],
        turn: vec!["turn:192.0.2.1:3478?transport=udp".to_owned()],
        others: Vec::new(),
    })
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub(crate) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

pub(crate) fn json(frame: &FrameText) -> Value {
    serde_json::from_str(frame.as_str()).unwrap()
}

/// What a client knows of its session.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) peer: PeerId,
    pub(crate) name: SessionName,
    pub(crate) key: SessionKey,
}

/// What a join can say beside the room.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    pub(crate) once: Option<&'static str>,
    pub(crate) create: Option<NewRoom>,
    pub(crate) password: Option<Password>,
    pub(crate) after: Option<u64>,
    pub(crate) source: Option<&'static str>,
    pub(crate) grant: Option<Grant>,
}

/// A hub whose outputs are drained after each request, as a shard does.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
    pub(crate) now: Now,
}

impl Desk {
    pub(crate) fn new(config: Config) -> Self {
        let seed = Seed { hub: 1, random: [7; 32] };
        Self { hub: Hub::new(config, Some(turn_key()), &seed), now: NOW }
    }

    /// Goes to a time after the start, doing what is due on the way.
    pub(crate) fn at(&mut self, after: Duration) -> Vec<(u64, Event)> {
        let end = Time::after_start(after);
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= end) {
            self.now = Now { time: due, unix: NOW.unix + due.since(Time::START) };
            self.hub.handle_timeout(self.now);
        }
        self.now = Now { time: end, unix: NOW.unix + after };
        self.drain()
    }

    pub(crate) fn handle(&mut self, edge: u64, request: Request) -> Vec<(u64, Event)> {
        self.hub.handle(self.now, EdgeId(edge), request);
        self.drain()
    }

    /// Asks for a seat. The outputs, and the seat if it was given.
    pub(crate) fn join(&mut self, edge: u64, name: &str) -> (Vec<(u64, Event)>, Option<Seat>) {
        self.visit(edge, name, Visit::default())
    }

    /// The same, with what tells by which tries it is the same seat.
    pub(crate) fn join_once(
        &mut self,
        edge: u64,
        name: &str,
        once: Option<&'static str>,
    ) -> (Vec<(u64, Event)>, Option<Seat>) {
        self.visit(edge, name, Visit { once, ..Visit::default() })
    }

    /// The same with what a token permits.
    pub(crate) fn join_with(
        &mut self,
        edge: u64,
        name: &str,
        grant: Option<Grant>,
    ) -> (Vec<(u64, Event)>, Option<Seat>) {
        self.visit(edge, name, Visit { grant, ..Visit::default() })
    }

    /// The same with all that a join can say.
    pub(crate) fn visit(
        &mut self,
        edge: u64,
        name: &str,
        visit: Visit,
    ) -> (Vec<(u64, Event)>, Option<Seat>) {
        let metadata = raw(&format!(r#"{{"edge": {edge}}}"#));
        let join = Join {
            room: room(name),
            metadata: Metadata::new(Some(&metadata), 1024).unwrap(),
            once: visit.once.map(|once| Once::parse(once).unwrap()),
            ice: ice(),
            create: visit.create.map(Box::new),
            password: visit.password,
            after: visit.after,
            source: visit.source.map(Into::into),
            id: Some(edge),
            token: None,
            grant: visit.grant.map(Box::new),
        };
        let outputs = self.handle(edge, Request::Join(Box::new(join)));
        let own: Vec<_> = outputs.iter().filter(|(to, _)| *to == edge).cloned().collect();
        let welcome = told(&own).into_iter().find(|(_, told)| told["type"] == "welcome");
        let seat = welcome.map(|(_, welcome)| {
            let text = |field: &str| welcome[field].as_str().unwrap().to_owned();
            Seat {
                peer: PeerId::parse(&text("peer")).unwrap(),
                name: SessionName::parse(&text("session")).unwrap(),
                key: SessionKey::parse(&text("key")).unwrap(),
            }
        });
        (outputs, seat)
    }

    /// Asks something of the room.
    pub(crate) fn ask(
        &mut self,
        edge: u64,
        action: RoomAction,
        id: Option<u64>,
    ) -> Vec<(u64, Event)> {
        self.handle(edge, Request::Room(Box::new(RoomRequest { action, id })))
    }

    /// Joins and expects a seat.
    pub(crate) fn seat(&mut self, edge: u64, name: &str) -> Seat {
        self.join(edge, name).1.expect("a seat")
    }

    pub(crate) fn signal(&mut self, edge: u64, to: &PeerId, data: &str) -> Vec<(u64, Event)> {
        self.numbered_signal(edge, to, data, None)
    }

    pub(crate) fn numbered_signal(
        &mut self,
        edge: u64,
        to: &PeerId,
        data: &str,
        id: Option<u64>,
    ) -> Vec<(u64, Event)> {
        let signal = Signal { to: to.clone(), data: raw(data), id, ack: None };
        self.handle(edge, Request::Signal(signal))
    }

    pub(crate) fn resume(&mut self, edge: u64, seat: &Seat, seq: u64) -> Vec<(u64, Event)> {
        self.resume_as(edge, seat, Purpose::Listen { seq, ice: ice(), is_oneway: false })
    }

    pub(crate) fn resume_as(
        &mut self,
        edge: u64,
        seat: &Seat,
        purpose: Purpose,
    ) -> Vec<(u64, Event)> {
        let (name, key) = (seat.name.clone(), seat.key);
        let resume = Resume { name, key, attempt: None, purpose, id: None };
        self.handle(edge, Request::Resume(Box::new(resume)))
    }

    pub(crate) fn ack(&mut self, edge: u64, seq: u64) -> Vec<(u64, Event)> {
        self.handle(edge, Request::Ack(seq))
    }

    pub(crate) fn leave(&mut self, edge: u64, reason: LeaveReason) -> Vec<(u64, Event)> {
        self.handle(edge, Request::Leave(reason))
    }

    pub(crate) fn detach(&mut self, edge: u64, how: Detached) -> Vec<(u64, Event)> {
        self.handle(edge, Request::Detach(how))
    }

    /// What has happened since it was last asked for.
    pub(crate) fn happenings(&mut self) -> Vec<Happening> {
        std::iter::from_fn(|| self.hub.poll_happening()).collect()
    }

    pub(crate) fn drain(&mut self) -> Vec<(u64, Event)> {
        std::iter::from_fn(|| self.hub.poll_output())
            .map(|output| (output.to.0, output.event))
            .collect()
    }
}

/// The outputs as they read: edge and frame, or what else is said. Edges aren't told that they are
/// seated, clients are.
pub(crate) fn told(outputs: &[(u64, Event)]) -> Vec<(u64, Value)> {
    let value = |event: &Event| match event {
        Event::Seated { .. } => None,
        Event::Frame(frame) => Some(json(&frame.text())),
        Event::Refused { code, id, .. } => Some(serde_json::json!({"refused": code, "id": id})),
        Event::Facts(facts) => Some(serde_json::json!({"facts": facts.peer.as_str()})),
        Event::Done { ack } => Some(serde_json::json!({"done": ack})),
        Event::Close(code) => Some(serde_json::json!({"close": code.number()})),
    };
    outputs.iter().filter_map(|(to, event)| Some((*to, value(event)?))).collect()
}

/// The same without the frames' own numbers.
pub(crate) fn told_plainly(outputs: &[(u64, Event)]) -> Vec<(u64, Value)> {
    let mut told = told(outputs);
    for (_, value) in &mut told {
        if let Value::Object(frame) = value {
            frame.remove("seq");
        }
    }
    told
}
