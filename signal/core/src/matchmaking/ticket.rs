//! A ticket: what it says of itself, whom it accepts, and how it becomes less demanding.

use crate::RoomId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// By how much time at once a condition with a rate widens.
pub(crate) const RELAX_STEP: Duration = Duration::from_secs(1);

/// What somebody is, whom they want to meet, and for how long they wait.
///
/// Made by [`Ticket::parse`], which keeps the limits. Whoever fills in the fields by hand keeps
/// to `1 <= party <= size.most` and `1 <= size.least <= size.most`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// Only tickets of the same queue meet: a game, its version and mode.
    pub queue: Arc<str>,
    /// How many players the match shall have.
    pub size: PlayerCount,
    /// For how many players the ticket stands, who stay together.
    pub party: u32,
    /// Where they are already, and the others shall come.
    pub room: Option<RoomId>,
    /// What others may ask for.
    pub properties: BTreeMap<Arc<str>, Value>,
    /// What is asked of each other ticket in the match.
    pub query: Vec<Condition>,
    /// How long it waits for more players than the fewest.
    pub fill: Duration,
    /// How long it waits at all.
    pub timeout: Duration,
}

/// How many players.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayerCount {
    /// At least so many.
    pub least: u32,
    /// At most so many.
    pub most: u32,
}

/// What a property is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A text.
    Text(Arc<str>),
    /// A number.
    Number(Number),
}

/// A finite number, so that all of them compare.
#[derive(Clone, Copy, Debug)]
pub struct Number(f64);

/// What is asked of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Of which property of theirs. Who doesn't have it is not accepted.
    pub property: Arc<str>,
    /// What it must be.
    pub wish: Wish,
    /// What becomes of the wish with time; nothing without it.
    pub relax: Option<Relax>,
}

/// What a property of another must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// One of these.
    OneOf(Vec<Value>),
    /// A number so far from one's own at most.
    Within {
        /// One's own.
        own: Number,
        /// So far.
        distance: f64,
    },
}

/// How a wish becomes less demanding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relax {
    /// After waiting for so long it begins.
    pub after: Duration,
    /// By how much a distance widens with each whole second from then on; without it at once.
    pub by: Option<f64>,
    /// How far it widens. Without it and without a rate, the condition is dropped.
    pub to: Option<f64>,
}

/// A condition at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Demand<'a> {
    /// One of these.
    OneOf(&'a [Value]),
    /// Between these, both included.
    Between(f64, f64),
    /// Anything, or nothing.
    Dropped,
}

impl Ticket {
    /// Whether somebody who has waited for `waited` with this ticket accepts the other. Who is
    /// accepted once is accepted from then on. A match has one room, so two that have one each
    /// don't meet.
    #[must_use]
    pub fn accepts(&self, waited: Duration, other: &Self) -> bool {
        let is_one_room = self.room.is_none() || other.room.is_none();
        is_one_room && self.query.iter().all(|condition| condition.holds(waited, &other.properties))
    }

    /// Whether, after so long, fewer players than the most are as good.
    #[must_use]
    pub fn is_patient(&self, waited: Duration) -> bool {
        waited >= self.fill
    }

    /// When it becomes less demanding than it is after `waited`, counted from its beginning.
    #[must_use]
    pub fn relaxes_at(&self, waited: Duration) -> Option<Duration> {
        let may_be_fewer = self.size.least < self.size.most && !self.is_patient(waited);
        let fill = may_be_fewer.then_some(self.fill);
        let conditions = self.query.iter().filter_map(|condition| condition.relaxes_at(waited));
        conditions.chain(fill).min()
    }
}

impl Condition {
    fn holds(&self, waited: Duration, others: &BTreeMap<Arc<str>, Value>) -> bool {
        let other = others.get(&self.property);
        match self.demand(waited) {
            Demand::Dropped => true,
            Demand::OneOf(choices) => other.is_some_and(|other| choices.contains(other)),
            Demand::Between(least, most) => match other {
                Some(Value::Number(number)) => (least..=most).contains(&number.get()),
                Some(Value::Text(_)) | None => false,
            },
        }
    }

    /// What it asks for after `waited`.
    pub(crate) fn demand(&self, waited: Duration) -> Demand<'_> {
        let relax = self.relax.filter(|relax| waited >= relax.after);
        match (&self.wish, relax) {
            (Wish::OneOf(choices), None) => Demand::OneOf(choices),
            (Wish::OneOf(_), Some(_)) => Demand::Dropped,
            (Wish::Within { own, distance }, relax) => {
                let distance = match relax {
                    None => Some(*distance),
                    Some(relax) => relax.distance(*distance, waited),
                };
                distance.map_or(Demand::Dropped, |distance| {
                    Demand::Between(own.get() - distance, own.get() + distance)
                })
            }
        }
    }

    /// When it asks for less than after `waited`.
    fn relaxes_at(&self, waited: Duration) -> Option<Duration> {
        let relax = self.relax?;
        let has_begun = waited >= relax.after;
        let (at, does_change) = match (&self.wish, relax.by) {
            (Wish::OneOf(_), _) => (relax.after, !has_begun),
            (Wish::Within { distance, .. }, None) => {
                (relax.after, !has_begun && relax.to != Some(*distance))
            }
            (Wish::Within { distance, .. }, Some(by)) => {
                let steps = relax.steps(waited);
                let is_over = relax.to.is_some_and(|to| distance + by * f64::from(steps) >= to);
                let next = if has_begun { steps.saturating_add(1) } else { 1 };
                (relax.after + RELAX_STEP.saturating_mul(next), by > 0.0 && !is_over)
            }
        };
        does_change.then_some(at)
    }
}

impl Relax {
    /// How far a distance has widened; without end if there is none.
    fn distance(&self, distance: f64, waited: Duration) -> Option<f64> {
        match (self.by, self.to) {
            (None, to) => to.map(|to| to.max(distance)),
            (Some(by), to) => {
                let wide = distance + by * f64::from(self.steps(waited));
                Some(to.map_or(wide, |to| wide.min(to.max(distance))))
            }
        }
    }

    fn steps(&self, waited: Duration) -> u32 {
        let seconds = waited.saturating_sub(self.after).as_secs() / RELAX_STEP.as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

impl Number {
    /// The number, if it is finite. Zero has no sign.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        let unsigned = if number == 0.0 { 0.0 } else { number };
        number.is_finite().then_some(Self(unsigned))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
