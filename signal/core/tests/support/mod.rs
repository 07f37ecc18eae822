//! A hub in virtual time, and what its sessions are told.

#![allow(dead_code, reason = "each test program uses its part")]

use heliograph_base::{Now, Secret, Time, UnixTime};
use serde_json::Value;
use serde_json::value::RawValue;
use signal_core::protocol::LeaveReason;
use signal_core::{
    Config, Event, FrameText, Hub, IceUrls, Join, Metadata, PeerId, RoomId, Seed, SessionId,
    Signal, TurnKey,
};
use std::time::Duration;

pub(crate) const NOW: Now = Now { time: Time::START, unix: UnixTime { seconds: 1_700_000_000 } };

pub(crate) fn turn_key() -> TurnKey {
    TurnKey { secret: Secret::from_text("north").unwrap(), ttl: Duration::from_secs(3600) }
}

pub(crate) fn ice() -> IceUrls {
    IceUrls {
        stun: vec!["stun:192.0.2.1:3478".to_owned()],
        turn: vec!["turn:192.0.2.1:3478?transport=udp".to_owned()],
    }
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

/// A hub whose outputs are drained after each request, as a shard does.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) hub: Hub,
}

impl Desk {
    pub(crate) fn new(config: Config) -> Self {
        let seed = Seed { hub: 1, random: [7; 32] };
        Self { hub: Hub::new(config, Some(turn_key()), &seed) }
    }

    /// Asks for a seat. The outputs, and the peer id if it was given.
    pub(crate) fn join(&mut self, session: u64, name: &str) -> (Vec<(u64, Event)>, Option<PeerId>) {
        let metadata = raw(&format!(r#"{{"session": {session}}}"#));
        let metadata = Metadata::new(Some(&metadata), 1024).unwrap();
        let join = Join { room: room(name), metadata, ice: ice(), id: Some(session) };
        self.hub.handle_join(NOW, SessionId(session), join);
        let outputs = self.drain();
        let peer = outputs.iter().find_map(|(_, event)| match event {
            Event::Seated { peer, .. } => Some(peer.clone()),
            Event::Frame(_) | Event::Refused { .. } | Event::Close(_) => None,
        });
        (outputs, peer)
    }

    /// Joins and expects a seat.
    pub(crate) fn seat(&mut self, session: u64, name: &str) -> PeerId {
        self.join(session, name).1.expect("a seat")
    }

    pub(crate) fn signal(&mut self, session: u64, to: &PeerId, data: &str) -> Vec<(u64, Event)> {
        let signal = Signal { to: to.clone(), data: raw(data), id: Some(9) };
        self.hub.handle_signal(SessionId(session), &signal);
        self.drain()
    }

    pub(crate) fn leave(&mut self, session: u64, reason: LeaveReason) -> Vec<(u64, Event)> {
        self.hub.handle_leave(SessionId(session), reason);
        self.drain()
    }

    pub(crate) fn full_outbox(&mut self, session: u64) -> Vec<(u64, Event)> {
        self.hub.handle_full_outbox(SessionId(session));
        self.drain()
    }

    fn drain(&mut self) -> Vec<(u64, Event)> {
        std::iter::from_fn(|| self.hub.poll_output())
            .map(|output| (output.to.0, output.event))
            .collect()
    }
}

/// The outputs as they read: session and frame, or what else is said.
pub(crate) fn told(outputs: &[(u64, Event)]) -> Vec<(u64, Value)> {
    let value = |event: &Event| match event {
        Event::Seated { welcome: frame, .. } | Event::Frame(frame) => json(frame),
        Event::Refused { code, id } => serde_json::json!({"refused": code, "id": id}),
        Event::Close(code) => serde_json::json!({"close": code.number()}),
    };
    outputs.iter().map(|(to, event)| (*to, value(event))).collect()
}
