//! What a session makes of what the server says.

use super::numbers::{Came, Kept, Turn};
use super::{
    Event, GIVEN_UP, Held, Loss, Member, Output, Refusal, RoomEvent, Seat, Session, State,
};
use crate::protocol::{ErrorCode, ErrorFrame, ServerFrame, ServerMessage, Welcome};
use crate::{BadId, PeerId};
use heliograph_base::Time;
use rand::RngExt as _;
use std::time::Duration;

/// No server may ask for a longer pause.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Session {
    pub(super) fn handle_message(
        &mut self,
        now: Time,
        message: &ServerMessage<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        self.handle_message_frame(now, message, bytes)?;
        // Behind a refusal, which counts as carried out. What came of those before a resume is told
        // behind it.
        let is_resumed = matches!(message.frame, ServerFrame::Resumed { .. });
        if let Some(ack) = message.ack.filter(|_| !is_resumed)
            && self.held.as_mut().is_some_and(|held| held.kept.ack(ack))
        {
            self.tell(Event::Done { up_to: ack });
        }
        Ok(())
    }

    fn handle_message_frame(
        &mut self,
        now: Time,
        message: &ServerMessage<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        match (self.state, &message.frame) {
            (State::Asking { .. }, frame) => self.handle_answer(now, message.seq, frame, bytes),
            (_, ServerFrame::Resync(state)) => self.resync(now, message.seq, state, bytes),
            (_, frame) => match self.take_turn(now, message.seq, bytes) {
                Turn::Next => self.handle_frame(now, frame),
                Turn::Again => Ok(()),
                Turn::TooEarly => {
                    self.give_up(now, Loss::Confused);
                    Ok(())
                }
            },
        }
    }

    /// Takes the answer to `hello` or `resume`.
    fn handle_answer(
        &mut self,
        now: Time,
        seq: Option<u64>,
        frame: &ServerFrame<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        match frame {
            ServerFrame::Welcome(welcome) => {
                let came = Came::from(seq.unwrap_or(0), bytes, now + self.config.ack_delay);
                self.held = Some(held(welcome, came)?);
                self.once = self.dice.random();
                self.enter(now);
                self.takes_reports = true;
                let seat = Seat::read(welcome)?;
                if let (Some(after), Some(about)) = (&mut self.entry.after, &seat.about) {
                    *after = about.last_event.unwrap_or(*after);
                }
                self.tell(Event::Joined(seat));
            }
            ServerFrame::Resumed { ack } => {
                self.enter(now);
                self.tell(Event::Resumed);
                self.send_again(*ack);
            }
            ServerFrame::Resync(state) => return self.resync(now, seq, state, bytes),
            ServerFrame::Error(error) => self.handle_refused_entry(now, error),
            ServerFrame::Close { code, .. } => self.handle_lost(now, Some(*code)),
            ServerFrame::Ack { .. }
            | ServerFrame::Diagnosis(_)
            | ServerFrame::Token { .. }
            | ServerFrame::Goaway { .. }
            | ServerFrame::Waiting { .. }
            | ServerFrame::Matched { .. }
            | ServerFrame::Expired { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::Unknown => {}
            ServerFrame::Joined(_)
            | ServerFrame::Away { .. }
            | ServerFrame::Back { .. }
            | ServerFrame::Left { .. }
            | ServerFrame::Presence { .. }
            | ServerFrame::Metadata { .. }
            | ServerFrame::Host { .. }
            | ServerFrame::Broadcast { .. }
            | ServerFrame::State { .. }
            | ServerFrame::Rules(_)
            | ServerFrame::Signal { .. }
            | ServerFrame::Ice(_) => {
                self.end(Loss::Unreadable("something else came before its answer".to_owned()));
            }
        }
        Ok(())
    }

    fn handle_refused_entry(&mut self, now: Time, error: &ErrorFrame<'_>) {
        if error.code == ErrorCode::NoSuchSession && self.held.take().is_some() {
            self.state = State::Asking { until: now + self.config.answer_timeout };
            return self.say_hello();
        }
        let least = Duration::from_millis(error.retry_after_ms.unwrap_or(0)).min(LONGEST_WAIT);
        let loss = Loss::Refused(Refusal::read(error));
        if error.retry {
            self.outputs.push_back(Output::Close(GIVEN_UP));
            self.wait(now, loss, least);
        } else {
            self.end(loss);
        }
    }

    /// The session goes on, but the room is to be learnt anew.
    fn resync(
        &mut self,
        now: Time,
        seq: Option<u64>,
        state: &Welcome<'_>,
        bytes: usize,
    ) -> Result<(), BadId> {
        let came = Came::from(seq.unwrap_or(0), bytes, now + self.config.ack_delay);
        let Some(held) = &mut self.held else { return Ok(()) };
        held.came = came;
        let seat = Seat::read(state)?;
        self.enter(now);
        self.tell(Event::Resync(seat));
        self.send_again(state.ack);
        Ok(())
    }

    fn handle_frame(&mut self, now: Time, frame: &ServerFrame<'_>) -> Result<(), BadId> {
        match frame {
            ServerFrame::Joined(member) => self.tell(Event::PeerJoined(Member::read(member)?)),
            ServerFrame::Away { peer } => self.tell(Event::PeerAway(PeerId::parse(peer)?)),
            ServerFrame::Back { peer } => self.tell(Event::PeerBack(PeerId::parse(peer)?)),
            ServerFrame::Left { peer, reason } => {
                self.tell(Event::PeerLeft { peer: PeerId::parse(peer)?, reason: *reason });
            }
            ServerFrame::Metadata { .. }
            | ServerFrame::Host { .. }
            | ServerFrame::Broadcast { .. }
            | ServerFrame::State { .. }
            | ServerFrame::Rules(_) => {
                if let Some(event) = RoomEvent::read(frame)? {
                    self.note(&event);
                    self.tell(Event::Room(event));
                }
            }
            ServerFrame::Token { id, expires_in_s } => {
                self.handle_answered(*id);
                let ttl = expires_in_s.map(Duration::from_secs);
                self.tell(Event::TokenTaken { id: *id, ttl });
            }
            ServerFrame::Presence { changes } => {
                return changes.iter().try_for_each(|change| self.handle_frame(now, change));
            }
            ServerFrame::Signal { from, data } => {
                let from = PeerId::parse(from)?;
                self.tell(Event::Signal { from, data: (*data).to_owned() });
            }
            ServerFrame::Ice(ice) => self.tell(Event::Ice(ice.clone())),
            ServerFrame::Diagnosis(diagnosis) => self.tell(Event::Diagnosed(diagnosis.clone())),
            ServerFrame::Error(error) if is_lost(error.code) => self.give_up(now, Loss::Confused),
            ServerFrame::Error(error) => {
                // All else is as old as the protocol.
                self.takes_reports &= error.code != ErrorCode::UnknownType;
                self.handle_answered(error.id);
                self.tell(Event::Refused(Refusal::read(error)));
            }
            ServerFrame::Close { code, .. } => self.handle_lost(now, Some(*code)),
            ServerFrame::Goaway { url, .. } => {
                // Without one, the connection is closed when it is time.
                if let Some(url) = url {
                    self.tell(Event::Moved { url: url.to_string() });
                    self.give_up(now, Loss::Moved);
                }
            }
            ServerFrame::Welcome(_)
            | ServerFrame::Resumed { .. }
            | ServerFrame::Resync(_)
            | ServerFrame::Ack { .. }
            | ServerFrame::Waiting { .. }
            | ServerFrame::Matched { .. }
            | ServerFrame::Expired { .. }
            | ServerFrame::Pong { .. }
            | ServerFrame::Unknown => {}
        }
        Ok(())
    }
}

/// Whether the server has lost track of the session on this connection. Over requests it may have
/// ended between two of them.
fn is_lost(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::OutOfOrder | ErrorCode::HelloFirst | ErrorCode::NoSuchSession)
}

fn held(welcome: &Welcome<'_>, came: Came) -> Result<Held, BadId> {
    Ok(Held {
        peer: PeerId::parse(&welcome.peer)?,
        name: welcome.session.to_string(),
        key: welcome.key.to_string(),
        heartbeat: welcome.heartbeat,
        limits: welcome.limits,
        kept: Kept::default(),
        came,
    })
}
