//! Who comes, goes, and loses its connection, told to everybody else in the room: at once while it
//! is quiet, and several in one frame when many come at once, so that a crowd costs each member a
//! few frames and not one for each of the others.
//!
//! Whoever comes knows the room by its welcome, so each member has a place in the room's news: what
//! stands before it, it knows. It is told of nobody too late: before a signal come the news of its
//! sender.

use super::{Happening, Hub, shrink};
use crate::protocol::ServerFrame;
use crate::{Bucket, Config, FrameText, RoomId};
use heliograph_base::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the members of a room are yet to be told of each other.
#[derive(Debug, Default)]
pub(super) struct News {
    /// The number of the first of `waiting`: each piece of a room's news has the next.
    first: u64,
    waiting: Vec<Piece>,
    bytes: usize,
    frames: Bucket,
    /// When they will be told, if they must wait.
    due: Option<Time>,
}

#[derive(Debug)]
struct Piece {
    /// The seat that it is about, which isn't told itself.
    about: u64,
    frame: FrameText,
}

/// When something is due for a room: its news, or its end.
#[derive(Debug, Default)]
pub(super) struct Gatherings {
    heap: BinaryHeap<Reverse<(Time, RoomId)>>,
}

/// A number that no seat has.
const NOBODYS_SEAT: u64 = u64::MAX;

impl News {
    /// The number of the next piece.
    pub(super) fn next(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    fn push(&mut self, about: u64, frame: FrameText) {
        self.bytes += frame.len();
        self.waiting.push(Piece { about, frame });
    }

    /// Whether no more may wait.
    fn is_full(&self, config: &Config) -> bool {
        self.waiting.len() >= config.news_max || self.bytes >= config.news_bytes_max
    }

    /// What a seat is yet to be told, from its place on.
    fn since(&self, place: u64) -> &[Piece] {
        let known = place.saturating_sub(self.first) as usize;
        self.waiting.get(known..).unwrap_or_default()
    }

    /// Takes all out.
    fn take(&mut self) -> Self {
        let (first, frames) = (self.next(), self.frames);
        std::mem::replace(self, Self { first, frames, ..Self::default() })
    }

    /// That as one frame, if it is anything.
    fn frame(&self, place: u64, seat: u64) -> Option<FrameText> {
        let of_others = self.since(place).iter().filter(|piece| piece.about != seat);
        let frames: Vec<&FrameText> = of_others.map(|piece| &piece.frame).collect();
        (!frames.is_empty()).then(|| FrameText::presence(&frames))
    }
}

impl Gatherings {
    /// When something is due for the next one.
    pub(super) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn set(&mut self, at: Time, room: &RoomId) {
        self.heap.push(Reverse((at, room.clone())));
    }

    fn pop(&mut self, at: Time) -> Option<RoomId> {
        let is_due = self.next().is_some_and(|next| next <= at);
        let room = is_due.then(|| self.heap.pop()).flatten();
        if self.heap.is_empty() {
            self.heap.shrink_to_fit();
        }
        room.map(|Reverse((_, room))| room)
    }
}

impl Hub {
    /// Tells everybody else in the room about a seat: now, or soon.
    pub(super) fn announce(
        &mut self,
        now: Time,
        room: &RoomId,
        about: u64,
        frame: &ServerFrame<'_>,
    ) {
        let Some(there) = self.rooms.get_mut(room) else { return };
        let rate = (self.config.news_per_s, self.config.news_burst);
        let news = &mut there.news;
        news.push(about, FrameText::encode(frame));
        if news.is_full(&self.config) {
            return self.tell_news(room);
        }
        if news.due.is_none() {
            match news.frames.try_take(now, 1, rate) {
                Ok(()) => self.tell_news(room),
                Err(wait) => {
                    news.due = Some(now + wait);
                    self.gatherings.set(now + wait, room);
                }
            }
        }
    }

    /// Does what is due for a room, if it still is: tells it its news, or ends it.
    pub(super) fn handle_room_due(&mut self, now: Time, at: Time) {
        let Some(room) = self.gatherings.pop(at) else { return };
        let rate = (self.config.news_per_s, self.config.news_burst);
        let Some(there) = self.rooms.get_mut(&room) else { return };
        if there.news.due == Some(at) {
            there.news.frames.take(now, 1, rate);
            return self.tell_news(&room);
        }
        let ends_at = there.extras.as_ref().and_then(|extras| extras.ends_at);
        if ends_at == Some(at) {
            self.rooms.remove(&room);
            self.happenings.push_back(Happening::RoomClosed(room));
            shrink(&mut self.rooms);
        }
    }

    /// Tells everybody in the room something, behind all news.
    pub(super) fn tell_all(&mut self, room: &RoomId, frame: &FrameText) {
        self.tell_news(room);
        let members = self.rooms.get(room).map(|there| there.members.clone());
        for place in members.into_iter().flatten() {
            self.send(place, frame.clone(), None);
        }
    }

    /// Tells a member what it must know before it hears from another one.
    pub(super) fn tell_news_of(&mut self, from: usize, to: usize) {
        let (sender, seat) = (self.seats[from].number, &self.seats[to]);
        let Some(there) = self.rooms.get(&seat.room) else { return };
        let news = &there.news;
        if news.since(seat.told).iter().any(|piece| piece.about == sender) {
            let (frame, next) = (news.frame(seat.told, seat.number), news.next());
            self.seats[to].told = next;
            if let Some(frame) = frame {
                self.send(to, frame, None);
            }
        }
    }

    fn tell_news(&mut self, room: &RoomId) {
        let Some(there) = self.rooms.get_mut(room) else { return };
        if there.news.waiting.is_empty() {
            return;
        }
        let news = there.news.take();
        // A copy, since to send takes the whole hub; to look the room up for each would cost more.
        let members = there.members.clone();
        // Most have their place before all of them, and none of them is about most.
        let all = news.frame(news.first, NOBODYS_SEAT);
        for place in members {
            let seat = &mut self.seats[place];
            let told = std::mem::replace(&mut seat.told, news.next());
            let number = seat.number;
            let is_usual = told <= news.first && news.waiting.iter().all(|it| it.about != number);
            let frame = if is_usual { all.clone() } else { news.frame(told, number) };
            if let Some(frame) = frame {
                self.send(place, frame, None);
            }
        }
    }
}
