//! A queue for what is seldom more than one.

use std::collections::VecDeque;

/// A queue whose first element needs no memory of its own: most queues of a connection hold one
/// element for a moment, and nearly all are empty nearly always.
#[derive(Clone, Debug)]
pub struct Queue<T> {
    first: Option<T>,
    /// What comes behind the first; empty if there is none.
    rest: VecDeque<T>,
}

impl<T> Queue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: None, rest: VecDeque::new() }
    }

    /// Puts an element at the end.
    pub fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.rest.push_back(element),
        }
    }

    /// Takes the first element out. A queue that gets empty gives its memory back.
    pub fn pop(&mut self) -> Option<T> {
        let first = self.first.take();
        self.first = self.rest.pop_front();
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        first
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The elements from first to last.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_out_as_they_went_in_and_an_empty_queue_holds_no_memory() {
        let mut queue = Queue::new();
        assert_eq!((queue.pop(), queue.len(), queue.is_empty()), (None, 0, true));
        for round in 0..3 {
            (0..5).for_each(|n| queue.push(n + round));
            assert_eq!(queue.pop(), Some(round));
            queue.push(9);
            assert_eq!(
                queue.iter().copied().collect::<Vec<_>>(),
                [round + 1, round + 2, round + 3, round + 4, 9]
            );
            assert_eq!((queue.len(), queue.is_empty()), (5, false));
            let all: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            assert_eq!((all.len(), all[4]), (5, 9));
            assert_eq!((queue.rest.capacity(), queue.is_empty()), (0, true));
        }
    }
}
