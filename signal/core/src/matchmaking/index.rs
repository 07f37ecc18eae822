//! Where to find the tickets that somebody may want, without looking at all.

use super::ticket::Demand;
use super::{Number, Ticket, Value};
use ahash::RandomState;
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

type Text = Arc<str>;

/// Tickets by queue, and in each queue by their properties. They are called by their numbers,
/// which are in the order of age.
#[derive(Debug)]
pub(crate) struct Index {
    queues: HashMap<Text, BTreeSet<u64>, RandomState>,
    /// By queue, property, and value.
    texts: HashMap<(Text, Text, Text), BTreeSet<u64>, RandomState>,
    /// By queue and property; in them by value.
    numbers: HashMap<(Text, Text), BTreeSet<(Number, u64)>, RandomState>,
}

impl Index {
    pub(crate) fn new(hasher: &RandomState) -> Self {
        Self {
            queues: HashMap::with_hasher(hasher.clone()),
            texts: HashMap::with_hasher(hasher.clone()),
            numbers: HashMap::with_hasher(hasher.clone()),
        }
    }

    pub(crate) fn insert(&mut self, number: u64, ticket: &Ticket) {
        let queue = &ticket.queue;
        self.queues.entry(queue.clone()).or_default().insert(number);
        for (name, value) in &ticket.properties {
            match value {
                Value::Text(text) => {
                    let key = (queue.clone(), name.clone(), text.clone());
                    self.texts.entry(key).or_default().insert(number);
                }
                Value::Number(at) => {
                    let key = (queue.clone(), name.clone());
                    self.numbers.entry(key).or_default().insert((*at, number));
                }
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u64, ticket: &Ticket) {
        let queue = &ticket.queue;
        take(&mut self.queues, queue.clone(), &number);
        for (name, value) in &ticket.properties {
            match value {
                Value::Text(text) => {
                    let key = (queue.clone(), name.clone(), text.clone());
                    take(&mut self.texts, key, &number);
                }
                Value::Number(at) => {
                    take(&mut self.numbers, (queue.clone(), name.clone()), &(*at, number));
                }
            }
        }
    }

    /// Tickets of the queue, oldest first, among them all that `ticket` accepts after `waited`: the
    /// shortest list that one of its conditions leads to.
    pub(crate) fn candidates(&self, ticket: &Ticket, waited: Duration) -> Vec<u64> {
        let Some(all) = self.queues.get(&ticket.queue) else { return Vec::new() };
        let mut shortest = None;
        let mut most = all.len();
        for condition in &ticket.query {
            let key = (&ticket.queue, &condition.property);
            if let Some(list) = self.listed(key, condition.demand(waited), most) {
                most = list.len();
                shortest = Some(list);
            }
        }
        let Some(mut list) = shortest else { return all.iter().copied().collect() };
        list.sort_unstable();
        list.dedup();
        list
    }

    /// Those whose property is as demanded, unless they are `most` or more.
    fn listed(
        &self,
        (queue, property): (&Text, &Text),
        demand: Demand<'_>,
        most: usize,
    ) -> Option<Vec<u64>> {
        let mut list = Vec::new();
        let numbers = self.numbers.get(&(queue.clone(), property.clone()));
        let add_range = |list: &mut Vec<u64>, range: RangeInclusive<Number>| {
            let range = (*range.start(), 0)..=(*range.end(), u64::MAX);
            let found = numbers.into_iter().flat_map(|known| known.range(range.clone()));
            list.extend(found.map(|(_, number)| *number).take(most - list.len()));
        };
        match demand {
            Demand::Dropped => return None,
            Demand::Between(low, high) => {
                let end = |at: f64| Number::new(at.clamp(f64::MIN, f64::MAX));
                let (Some(low), Some(high)) = (end(low), end(high)) else { return None };
                add_range(&mut list, low..=high);
            }
            Demand::OneOf(choices) => {
                for choice in choices {
                    match choice {
                        Value::Number(at) => add_range(&mut list, *at..=*at),
                        Value::Text(text) => {
                            let key = (queue.clone(), property.clone(), text.clone());
                            let found = self.texts.get(&key).into_iter().flatten();
                            list.extend(found.take(most - list.len()));
                        }
                    }
                }
            }
        }
        (list.len() < most).then_some(list)
    }

    /// Whether nothing is left in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.texts.is_empty() && self.numbers.is_empty()
    }
}

/// Takes a ticket out of one of several sets, and forgets the set with its last one.
fn take<K: Eq + std::hash::Hash, T: Ord>(
    sets: &mut HashMap<K, BTreeSet<T>, RandomState>,
    key: K,
    what: &T,
) {
    use std::collections::hash_map::Entry;
    if let Entry::Occupied(mut entry) = sets.entry(key) {
        entry.get_mut().remove(what);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}
