//! A room: who sits in it, and what it keeps beside.

use super::news::News;
use crate::protocol::{RoomState, Rules, RulesPatch, Writers};
use crate::{Bucket, Config, FrameText, NewRoom, Password};
use heliograph_base::{Time, UnixTime};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A room: where its members sit, in the order of their joining.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) members: Vec<usize>,
    pub(super) joins: Bucket,
    pub(super) news: News,
    pub(super) since: UnixTime,
    /// How much its members may still be sent at once.
    pub(super) broadcasts: Bucket,
    /// What most rooms don't have.
    pub(super) extras: Option<Box<Extras>>,
}

/// What a room keeps that has rules, a host, or a state.
#[derive(Debug)]
pub(super) struct Extras {
    pub(super) capacity: usize,
    pub(super) sealed: bool,
    pub(super) public: bool,
    pub(super) password: Option<Password>,
    pub(super) writers: Writers,
    pub(super) state: Option<Box<RawValue>>,
    /// How often it was set.
    pub(super) version: u64,
    pub(super) host: Option<Host>,
    pub(super) history: History,
    pub(super) bans: VecDeque<Arc<str>>,
    /// For how long the room stays without members.
    pub(super) idle: Option<Duration>,
    /// When it is over, while it has none.
    pub(super) ends_at: Option<Time>,
}

/// Who is the host of a room that has one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Host {
    /// The number of the seat; 0: nobody's.
    pub(super) seat: u64,
    /// How often a host was made.
    pub(super) term: u64,
    /// Whether it is away for so long that another one takes its place once there is one.
    pub(super) is_overdue: bool,
}

/// The last broadcasts of a room.
#[derive(Debug, Default)]
pub(super) struct History {
    /// How many are kept.
    most: usize,
    /// The number of the last one.
    last: u64,
    events: VecDeque<(Time, FrameText)>,
    bytes: usize,
}

impl Room {
    pub(super) fn new(since: UnixTime, config: &Config, new: Option<Box<NewRoom>>) -> Self {
        let extras = new.map(|new| Box::new(Extras::new(config, *new)));
        let (joins, broadcasts) = (Bucket::default(), Bucket::default());
        Self { members: Vec::new(), joins, news: News::default(), since, broadcasts, extras }
    }

    pub(super) fn extras(&mut self, config: &Config) -> &mut Extras {
        self.extras.get_or_insert_with(|| Box::new(Extras::new(config, NewRoom::default())))
    }

    pub(super) fn host(&self) -> Option<Host> {
        self.extras.as_ref().and_then(|extras| extras.host)
    }

    /// The most members.
    pub(super) fn capacity(&self, config: &Config) -> usize {
        self.extras.as_ref().map_or(config.room_members_max, |extras| extras.capacity)
    }
}

impl Extras {
    fn new(config: &Config, new: NewRoom) -> Self {
        let version = u64::from(new.state.is_some());
        Self {
            capacity: new.capacity.unwrap_or(config.room_members_max),
            sealed: new.sealed,
            public: new.public,
            password: new.password,
            writers: new.writers,
            state: new.state,
            version,
            host: new.hosted.then(Host::default),
            history: History { most: new.history, ..History::default() },
            bans: VecDeque::new(),
            idle: new.idle,
            ends_at: None,
        }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules {
            capacity: self.capacity,
            sealed: self.sealed,
            public: self.public,
            locked: self.password.is_some(),
            writers: self.writers,
            history: self.history.most,
        }
    }

    pub(super) fn apply(&mut self, patch: RulesPatch) {
        let RulesPatch { capacity, sealed, public, password, writers } = patch;
        self.capacity = capacity.unwrap_or(self.capacity);
        self.sealed = sealed.unwrap_or(self.sealed);
        self.public = public.unwrap_or(self.public);
        self.writers = writers.unwrap_or(self.writers);
        if let Some(password) = password {
            self.password = password.as_deref().map(Password::new);
        }
    }

    pub(super) fn state(&self) -> Option<RoomState<'_>> {
        let value = self.state.as_deref()?;
        Some(RoomState { version: self.version, value })
    }

    pub(super) fn ban(&mut self, source: Arc<str>, most: usize) {
        if self.bans.len() >= most {
            self.bans.pop_front();
        }
        self.bans.push_back(source);
    }
}

impl History {
    /// The number of the next broadcast, if it will be kept.
    pub(super) fn next(&self) -> Option<u64> {
        (self.most > 0).then_some(self.last + 1)
    }

    /// The number of the last one, if any are kept.
    pub(super) fn last(&self) -> Option<u64> {
        (self.most > 0).then_some(self.last)
    }

    /// Keeps one; forgets what is too much or too old.
    pub(super) fn push(&mut self, now: Time, event: FrameText, config: &Config) {
        if self.most == 0 {
            return;
        }
        self.last += 1;
        self.bytes += event.len();
        self.events.push_back((now, event));
        let is_too_old = |at: Time| at + config.history_age <= now;
        while self.events.front().is_some_and(|(at, _)| {
            self.events.len() > self.most
                || self.bytes > config.history_bytes_max
                || is_too_old(*at)
        }) {
            if let Some((_, event)) = self.events.pop_front() {
                self.bytes -= event.len();
            }
        }
    }

    /// The events behind this number, at most so many, and whether some before them are gone.
    pub(super) fn after(&self, after: u64, limit: usize) -> (Vec<&FrameText>, bool) {
        let first = self.last - self.events.len() as u64;
        let skipped = usize::try_from(after.saturating_sub(first)).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skipped).take(limit);
        (events.map(|(_, event)| event).collect(), after < first)
    }
}
