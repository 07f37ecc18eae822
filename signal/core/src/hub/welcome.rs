//! What a seat is told of its room, its servers and its limits.

use super::Hub;
use crate::protocol::{About, Heartbeat, IceUpdate, Limits, Welcome};
use crate::seat::Seat;
use crate::{Config, FrameText, RoomId, SessionName};
use heliograph_base::Now;
use serde_json::value::RawValue;
use std::time::Duration;

/// A page of what was said in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The broadcasts, as they came to the members.
    pub events: Vec<FrameText>,
    /// Whether some before them are gone.
    pub missed: bool,
    /// The number of the last one there is, where they are kept.
    pub last_event: Option<u64>,
}

impl Hub {
    pub(super) fn welcome(&self, now: Now, place: usize) -> Welcome<'_> {
        let seat = &self.seats[place];
        let IceUpdate { ice_servers, ice_ttl_s } = self.ice(now, seat);
        Welcome {
            ice_servers,
            ice_ttl_s,
            token_ttl_s: seat.expires().map(|expires| expires.since(now.time).as_secs()),
            ..self.state(seat)
        }
    }

    /// What a seat is told of its room, but no ICE servers.
    pub(super) fn state<'a>(&'a self, seat: &'a Seat) -> Welcome<'a> {
        let members = self.rooms.get(&seat.room).into_iter().flat_map(|room| &room.members);
        let members = members.map(|place| &self.seats[*place]);
        let others = members.filter(|other| other.number != seat.number);
        let name = SessionName { room: seat.room.clone(), peer: seat.peer.clone() };
        Welcome {
            room: seat.room.as_str().into(),
            peer: seat.peer.as_str().into(),
            session: name.to_string().into(),
            key: seat.key.text().into(),
            grace_s: self.config.grace.as_secs(),
            ack: 0,
            role: seat.role().map(Into::into),
            members: others.map(|other| other.seen_by(seat.number)).collect(),
            about: self.about(&seat.room),
            ice_servers: Vec::new(),
            ice_ttl_s: 0,
            token_ttl_s: None,
            heartbeat: heartbeat(&self.config),
            limits: limits(&self.config),
        }
    }

    fn about(&self, room: &RoomId) -> Option<About<'_>> {
        let there = self.rooms.get(room)?;
        let extras = there.extras.as_ref()?;
        let members = there.members.iter().map(|place| &self.seats[*place]);
        let is_host = |seat: &&Seat| extras.host.is_some_and(|host| host.seat == seat.number);
        let host = members.clone().find(is_host);
        Some(About {
            rules: extras.rules(),
            host: host.map(|seat| seat.peer.as_str().into()),
            term: extras.host.map(|host| host.term),
            state: extras.state(),
            events: Vec::new(),
            last_event: extras.history.last(),
            missed: false,
        })
    }

    /// What was said in a room behind the event `after`, at most `limit` events; nothing if there
    /// is no such room.
    #[must_use]
    pub fn history(&self, room: &RoomId, after: u64, limit: usize) -> Option<HistoryPage> {
        let there = self.rooms.get(room)?;
        let Some(extras) = &there.extras else { return Some(HistoryPage::default()) };
        let (events, missed) = extras.history.after(after, limit);
        let events = events.into_iter().cloned().collect();
        Some(HistoryPage { events, missed, last_event: extras.history.last() })
    }

    /// What was said in a room behind this number, as frames, and whether some of it is gone.
    pub(super) fn events_after(&self, room: &RoomId, after: u64) -> (Vec<&RawValue>, bool) {
        let extras = self.rooms.get(room).and_then(|there| there.extras.as_ref());
        let Some(extras) = extras else { return (Vec::new(), false) };
        let (events, missed) = extras.history.after(after, usize::MAX);
        let raw = events.into_iter().map(FrameText::as_str).map(serde_json::from_str);
        (raw.filter_map(Result::ok).collect(), missed)
    }
}

fn heartbeat(config: &Config) -> Heartbeat {
    let seconds_up = |time: Duration| time.as_millis().div_ceil(1000) as u64;
    Heartbeat {
        interval_s: seconds_up(config.heartbeat_interval),
        timeout_s: seconds_up(config.heartbeat_timeout),
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        frame_bytes_max: config.frame_bytes_max,
        metadata_bytes_max: config.metadata_bytes_max,
        members_max: config.room_members_max,
        unacked_frames_max: config.unacked_frames_max,
        unacked_bytes_max: config.unacked_bytes_max,
    }
}
