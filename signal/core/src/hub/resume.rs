//! How a session goes on with another connection.

use super::Hub;
use super::news::News;
use crate::protocol::{CloseCode, ErrorCode, ServerFrame, Welcome};
use crate::seat::Presence;
use crate::timers::Due;
use crate::{EdgeId, Event, FrameText, Numbered, Output, Purpose, Resume, SessionKey, SessionName};
use heliograph_base::Time;

impl Hub {
    /// Takes a session up again. Who doesn't have its key changes nothing.
    pub(super) fn handle_resume(&mut self, now: Time, edge: EdgeId, resume: &Resume) {
        if self.edges.contains_key(&edge) {
            return self.refuse(edge, ErrorCode::AlreadyJoined, resume.id);
        }
        let Some(place) = self.session(&resume.name, &resume.key) else {
            return self.refuse(edge, ErrorCode::NoSuchSession, resume.id);
        };
        if self.is_too_late(now, place) {
            return self.refuse(edge, ErrorCode::Unauthorized, resume.id);
        }
        let seat = &mut self.seats[place];
        if resume.attempt.is_some_and(|attempt| attempt < seat.attempt) {
            return self.output(edge, Event::Close(CloseCode::Superseded));
        }
        let is_new = resume.attempt.is_some_and(|attempt| attempt > seat.attempt);
        seat.attempt = resume.attempt.unwrap_or(seat.attempt);
        self.edges.insert(edge, place);
        let peer = resume.name.peer.clone();
        self.output(edge, Event::Seated { peer });
        let seat = &mut self.seats[place];
        seat.heard = now;
        match &resume.purpose {
            Purpose::Listen { seq, ice, is_oneway } => {
                seat.ice = ice.clone();
                if *is_oneway {
                    let due = Due::Silence { edge };
                    self.timers.set(now + self.config.heartbeat_timeout, place, seat.number, due);
                }
                self.attach(now, edge, place, *seq);
                // Behind all that it missed, so that it knows what came of its requests.
                match is_new {
                    true => self.acknowledge(place),
                    false => self.tell_ack(place),
                }
            }
            Purpose::Send => seat.senders.push(edge),
        }
    }

    /// The edge gets all frames of the session from now on, and first those that haven't come.
    fn attach(&mut self, now: Time, edge: EdgeId, place: usize, seq: u64) {
        self.counts.resumes += 1;
        let seat = &mut self.seats[place];
        let was_away = seat.is_away();
        let before = std::mem::replace(&mut seat.presence, Presence::Here(edge));
        let can_go_on = seat.outgoing.can_go_on_after(seq);
        if let Presence::Here(before) = before {
            self.edges.remove(&before);
            self.output(before, Event::Close(CloseCode::Superseded));
        }
        match can_go_on {
            true => self.go_on(edge, place, seq),
            false => self.resync(place),
        }
        // At last, since it may bring news for this one too, which come behind what it missed.
        if was_away {
            self.announce_state(now, place, |peer| ServerFrame::Back { peer });
            let room = self.seats[place].room.clone();
            self.host_is_back(place);
            self.look_for_host(now, &room, 0);
        }
    }

    /// Sends what hasn't come, and says before which requests needn't be sent again.
    fn go_on(&mut self, edge: EdgeId, place: usize, seq: u64) {
        let seat = &mut self.seats[place];
        seat.outgoing.ack(seq);
        let resumed = FrameText::encode(&ServerFrame::Resumed { ack: seat.incoming.done() });
        let plain = |seq, frame| Output {
            to: edge,
            event: Event::Frame(Numbered { seq, ack: None, frame }),
        };
        self.outputs.push_back(plain(None, resumed));
        let unacked = seat.outgoing.unacked();
        self.outputs.extend(unacked.map(|(seq, sent)| plain(Some(seq), sent.frame.clone())));
    }

    /// Tells a client that has lost something for good all there is to know.
    fn resync(&mut self, place: usize) {
        self.counts.resyncs += 1;
        let lost = self.seats[place].outgoing.drain();
        self.tell_undelivered(lost);
        let seat = &mut self.seats[place];
        let (ack, news) = (seat.incoming.tell(), self.rooms.get(&seat.room).map(|it| &it.news));
        seat.told = news.map_or(0, News::next);
        let state = Welcome { ack, ..self.state(&self.seats[place]) };
        let frame = FrameText::encode(&ServerFrame::Resync(state));
        self.send(place, frame, None);
    }

    /// The session with this name, if the key is its own.
    pub(super) fn session(&self, name: &SessionName, key: &SessionKey) -> Option<usize> {
        let place = self.seated(&name.room, &name.peer)?;
        self.seats[place].key.is(key).then_some(place)
    }
}
