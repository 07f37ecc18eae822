//! As much as the server takes: a closed loop with a window for each client and direction.

use crate::packet::FlowId;
use crate::traffic::Traffic;
use std::mem;
use std::ops::Range;

/// Keeps `window` packets of each flow on their way. Flows take turns, one packet or train each, so
/// that packets of one flow don't come to the server together unless they are a train.
pub(crate) struct Saturator {
    window: u32,
    train: u32,
    flows: Vec<Flow>,
    clients: Range<usize>,
    due_up: Vec<FlowId>,
    due_down: Vec<FlowId>,
    /// Whose turn it is; empty between turns.
    sending: Vec<FlowId>,
    next_check_ns: u64,
}

#[derive(Clone, Copy, Default)]
struct Flow {
    in_flight: u32,
    is_due: bool,
    /// Whether a packet arrived since the last check.
    lives: bool,
}

/// After so long without an arrival what a flow has on its way counts as lost: 200 ms, far more
/// than any server needs for a window.
const PATIENCE_NS: u64 = 200_000_000;

impl Saturator {
    /// Has `clients` and their peers send. `window` and `train` in packets.
    pub(crate) fn new(traffic: &Traffic, clients: Range<usize>, window: u32, train: u32) -> Self {
        let mut saturator = Self {
            window: window.max(train),
            train,
            flows: vec![Flow::default(); traffic.clients() * 2],
            clients: clients.clone(),
            due_up: Vec::new(),
            due_down: Vec::new(),
            sending: Vec::new(),
            next_check_ns: 0,
        };
        for client in clients {
            saturator.queue(FlowId::up(client));
            if traffic.has_peers() {
                saturator.queue(FlowId::down(client));
            }
        }
        saturator
    }

    /// Whether it has nothing to send.
    pub(crate) fn is_idle(&self) -> bool {
        self.due_up.is_empty() && self.due_down.is_empty()
    }

    /// Takes note of what arrived, and sends what there is room for.
    pub(crate) fn turn(&mut self, traffic: &mut Traffic, arrived: &[FlowId]) -> anyhow::Result<()> {
        let clients = self.clients.clone();
        for id in arrived.iter().filter(|id| clients.contains(&id.client())) {
            let flow = &mut self.flows[id.index()];
            flow.in_flight = flow.in_flight.saturating_sub(1);
            flow.lives = true;
            self.queue(*id);
        }
        let now_ns = traffic.now_ns();
        mem::swap(&mut self.due_up, &mut self.sending);
        for flow in &self.sending {
            traffic.send_up(flow.client(), now_ns)?;
        }
        self.handle_sent();
        mem::swap(&mut self.due_down, &mut self.sending);
        traffic.send_down(&self.sending, now_ns)?;
        self.handle_sent();
        if now_ns >= self.next_check_ns {
            self.next_check_ns = now_ns + PATIENCE_NS;
            self.give_up_lost();
        }
        Ok(())
    }

    /// Lets a flow send if its window has room.
    fn queue(&mut self, id: FlowId) {
        let flow = &mut self.flows[id.index()];
        if !flow.is_due && flow.in_flight + self.train <= self.window {
            flow.is_due = true;
            if id.is_up() { self.due_up.push(id) } else { self.due_down.push(id) }
        }
    }

    fn handle_sent(&mut self) {
        let mut sent = mem::take(&mut self.sending);
        for id in sent.drain(..) {
            let flow = &mut self.flows[id.index()];
            flow.is_due = false;
            flow.in_flight += self.train;
            self.queue(id);
        }
        self.sending = sent;
    }

    fn give_up_lost(&mut self) {
        for place in 0..self.flows.len() {
            let flow = &mut self.flows[place];
            if !flow.lives && flow.in_flight > 0 {
                flow.in_flight = 0;
                self.queue(FlowId(place as u32));
            }
            self.flows[place].lives = false;
        }
    }
}
