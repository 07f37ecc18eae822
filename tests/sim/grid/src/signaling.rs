//! Two sessions in one room of our hub, over lines that lose nothing and take no time.

use heliograph_base::{Now, Time, UnixTime};
use serde_json::value::RawValue;
use signal_core::client::{self, Event, Output, Session};
use signal_core::{
    Config, Edge, EdgeId, Hub, IceUrls, Output as HubOutput, PeerId, RoomId, Seed, Transmit,
};
use std::sync::Arc;

pub(crate) struct Signaling {
    hub: Hub,
    ends: [End; 2],
}

struct End {
    session: Session,
    edge: Edge,
}

impl Signaling {
    pub(crate) fn new() -> Self {
        let config = Config::default();
        let end = |who| {
            let room = RoomId::parse("meeting").expect("a room");
            let session = Session::new(client::Config::default(), room, None, [who; 32]);
            let ice = Arc::new(IceUrls::default());
            End { session, edge: Edge::new(Time::START, Arc::new(config.clone()), ice) }
        };
        let seed = Seed { hub: 1, random: [7; 32] };
        Self { ends: [end(1), end(2)], hub: Hub::new(config.clone(), None, &seed) }
    }

    pub(crate) fn signal(&mut self, who: usize, to: &PeerId, data: Box<RawValue>) {
        self.ends[who].session.signal(to, data).expect("it is taken");
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let ends = self.ends.iter();
        let ends = ends.flat_map(|end| [end.session.poll_timeout(), end.edge.poll_timeout()]);
        ends.chain([self.hub.poll_timeout()]).flatten().min()
    }

    /// Does what is due, and all that follows; what the two are told.
    pub(crate) fn run(&mut self, time: Time) -> Vec<(usize, Event)> {
        let now = Now { time, unix: UnixTime::from_seconds(1_800_000_000) };
        self.hub.handle_timeout(now);
        for end in &mut self.ends {
            end.session.handle_timeout(time);
            end.edge.handle_timeout(time);
        }
        let mut events = Vec::new();
        while self.step(now, &mut events) {}
        events
    }

    fn step(&mut self, now: Now, events: &mut Vec<(usize, Event)>) -> bool {
        let mut is_busy = false;
        for (who, End { session, edge }) in self.ends.iter_mut().enumerate() {
            while let Some(output) = session.poll_output() {
                is_busy = true;
                match output {
                    Output::Connect(_) => session.handle_opened(now.time),
                    Output::Send(text) => edge.handle_text(now.time, &text),
                    Output::Event(event) => events.push((who, event)),
                    Output::Close(code) => panic!("closed with {code}"),
                }
            }
            while let Some(request) = edge.poll_request() {
                self.hub.handle(now, EdgeId(who as u64), request);
            }
            while let Some(transmit) = edge.poll_transmit() {
                is_busy = true;
                match transmit {
                    Transmit::Frame(frame) => {
                        session.handle_text(now.time, frame.text().as_str());
                    }
                    Transmit::Ping => edge.handle_sign_of_life(now.time),
                    Transmit::Refusal(code, _) => panic!("refused: {code}"),
                }
            }
        }
        while let Some(HubOutput { to: EdgeId(to), event }) = self.hub.poll_output() {
            is_busy = true;
            self.ends[to as usize].edge.handle_event(event);
        }
        is_busy
    }
}
