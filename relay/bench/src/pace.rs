//! Packets at a given rate, evenly spaced.

use crate::packet::FlowId;
use crate::traffic::Traffic;
use std::ops::Range;

/// Has some clients and their peers send in turns, up and down, at a rate of all together.
pub(crate) struct Pacer {
    clients: Range<usize>,
    interval_ns: u64,
    next_ns: Option<u64>,
    number: usize,
}

impl Pacer {
    /// `rate`: packets a second, half of them in each direction.
    pub(crate) fn new(clients: Range<usize>, rate: u64) -> Self {
        Self { clients, interval_ns: 1_000_000_000 / rate, next_ns: None, number: 0 }
    }

    /// Sends what is due. What is late is sent all the same, so that the rate holds.
    pub(crate) fn turn(&mut self, traffic: &mut Traffic) -> anyhow::Result<()> {
        let now_ns = traffic.now_ns();
        let mut next_ns = self.next_ns.unwrap_or(now_ns);
        while next_ns <= now_ns {
            let count = self.clients.len();
            let turn = self.number / 2;
            // The two directions of one client are half a round apart.
            if self.number.is_multiple_of(2) {
                traffic.send_up(self.clients.start + turn % count, now_ns)?;
            } else {
                let client = self.clients.start + (turn + count / 2) % count;
                traffic.send_down(&[FlowId::down(client)], now_ns)?;
            }
            self.number += 1;
            next_ns += self.interval_ns;
        }
        self.next_ns = Some(next_ns);
        Ok(())
    }
}
