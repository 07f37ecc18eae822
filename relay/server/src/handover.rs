//! How packets between two allocations go from one worker to another, and datagrams of clients to
//! the worker that serves them.
//!
//! A worker packs what one batch gives for another worker into one [`Parcel`], puts it into that
//! worker's bounded queue and rings its bell. A full queue drops the parcel. Emptied parcels travel
//! back, so that nobody allocates in the long run.

use crate::io::Bell;
use crate::orders::Order;
use relay_core::{Forwarded, ListenerId};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// What one worker has for another.
#[derive(Debug)]
pub(crate) struct Parcel {
    sender: usize,
    slips: Vec<Slip>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Slip {
    from: SocketAddr,
    way: Way,
    len: usize,
}

/// One packet of a parcel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// A relayed transport address, or a client.
    pub(crate) from: SocketAddr,
    pub(crate) way: Way,
    /// Data, or a client's whole datagram.
    pub(crate) body: &'a [u8],
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the allocation with this relayed transport address.
    Allocation(SocketAddr),
    /// To the core, as if it had come in by this listener.
    Core { listener: ListenerId, is_vouched_for: bool },
}

impl<'a> From<Forwarded<'a>> for Packet<'a> {
    fn from(forwarded: Forwarded<'a>) -> Self {
        let Forwarded { listener, from, bytes, is_vouched_for } = forwarded;
        Self { from, way: Way::Core { listener, is_vouched_for }, body: bytes }
    }
}

/// A parcel that grew beyond this is not kept.
const KEPT_BYTES: usize = 256 << 10;

impl Parcel {
    pub(crate) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rest = &self.bytes[..];
        self.slips.iter().map(move |slip| {
            let (body, after) = rest.split_at(slip.len);
            rest = after;
            Packet { from: slip.from, way: slip.way, body }
        })
    }

    fn push(&mut self, packet: &Packet<'_>) {
        let Packet { from, way, body } = *packet;
        self.slips.push(Slip { from, way, len: body.len() });
        self.bytes.extend_from_slice(body);
    }

    fn clear(&mut self) {
        self.slips.clear();
        self.bytes.clear();
    }
}

/// How others reach a worker.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    control: Arc<Control>,
    parcels: SyncSender<Parcel>,
    empties: SyncSender<Parcel>,
}

/// The bell of a worker, its orders, and the one to end.
#[derive(Debug)]
pub(crate) struct Control {
    bell: Bell,
    orders: SyncSender<Order>,
    stop: AtomicBool,
}

impl Control {
    /// Wakes the worker: something waits for it.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Gives the worker an order; whether there was room for it.
    pub(crate) fn order(&self, order: Order) -> bool {
        let taken = self.orders.try_send(order).is_ok();
        self.bell.ring();
        taken
    }

    /// Makes the worker end after its current turn.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.bell.ring();
    }
}

/// One worker's end of the handover.
#[derive(Debug)]
pub(crate) struct Handover {
    own: usize,
    control: Arc<Control>,
    doors: Vec<Door>,
    parcels: Receiver<Parcel>,
    empties: Receiver<Parcel>,
    orders: Receiver<Order>,
    /// What this batch gave for each worker so far.
    packed: Vec<Option<Parcel>>,
}

impl Handover {
    /// One for each of `workers`, whose queues hold `queue` parcels and `orders` orders each.
    pub(crate) fn between(workers: usize, queue: usize, orders: usize) -> io::Result<Vec<Self>> {
        let mut doors = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..workers {
            let (orders, orders_end) = sync_channel(orders);
            let (bell, stop) = (Bell::new()?, AtomicBool::new(false));
            let control = Arc::new(Control { bell, orders, stop });
            let (parcels, parcels_end) = sync_channel(queue);
            let (empties, empties_end) = sync_channel(queue);
            doors.push(Door { control, parcels, empties });
            ends.push((parcels_end, empties_end, orders_end));
        }
        let numbered = ends.into_iter().enumerate();
        Ok(numbered
            .map(|(own, (parcels, empties, orders))| Self {
                own,
                control: Arc::clone(&doors[own].control),
                doors: doors.clone(),
                parcels,
                empties,
                orders,
                packed: (0..workers).map(|_| None).collect(),
            })
            .collect())
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.control.bell
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.control.stop.load(Ordering::Acquire)
    }

    /// Copies a packet for `worker`; [`Self::send`] sends it.
    pub(crate) fn pack(&mut self, worker: usize, packet: &Packet<'_>) {
        let Self { own, empties, packed, .. } = self;
        let parcel = packed[worker].get_or_insert_with(|| {
            let new = || Parcel { sender: *own, slips: Vec::new(), bytes: Vec::new() };
            empties.try_recv().unwrap_or_else(|_| new())
        });
        parcel.push(packet);
    }

    /// Sends what was packed, and says how many packets were dropped because a queue is full.
    pub(crate) fn send(&mut self) -> usize {
        let mut dropped = 0;
        for worker in 0..self.doors.len() {
            let Some(parcel) = self.packed[worker].take() else {
                continue;
            };
            match self.doors[worker].parcels.try_send(parcel) {
                Ok(()) => self.doors[worker].control.bell.ring(),
                Err(TrySendError::Full(parcel) | TrySendError::Disconnected(parcel)) => {
                    dropped += parcel.slips.len();
                    self.give_back(parcel);
                }
            }
        }
        dropped
    }

    /// The next order for this worker.
    pub(crate) fn next_order(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// The next parcel for this worker.
    pub(crate) fn receive(&self) -> Option<Parcel> {
        self.parcels.try_recv().ok()
    }

    /// Gives an emptied parcel back to its sender.
    pub(crate) fn give_back(&self, mut parcel: Parcel) {
        parcel.clear();
        if parcel.bytes.capacity() <= KEPT_BYTES {
            // A sender that has more than enough of them, or has ended, doesn't need it.
            let _ = self.doors[parcel.sender].empties.try_send(parcel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::Revoke;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn packet(port: u16, body: &[u8]) -> Packet<'_> {
        Packet { from: address(port), way: Way::Allocation(address(9)), body }
    }

    #[test]
    fn packets_arrive_in_order_and_the_parcel_goes_home() {
        let mut workers = Handover::between(2, 4, 1).unwrap();
        let [one, two] = &mut workers[..] else { panic!("two workers") };
        for packet in [packet(1, b"a"), packet(2, b""), packet(3, b"ccc")] {
            one.pack(1, &packet);
        }
        assert_eq!(one.send(), 0);
        let parcel = two.receive().unwrap();
        let got: Vec<_> = parcel.packets().collect();
        assert_eq!(got, [packet(1, b"a"), packet(2, b""), packet(3, b"ccc")]);
        let memory = parcel.bytes.as_ptr();
        two.give_back(parcel);
        assert!(two.receive().is_none());

        one.pack(1, &packet(4, b"d"));
        one.send();
        let again = two.receive().unwrap();
        assert_eq!(again.packets().collect::<Vec<_>>(), [packet(4, b"d")]);
        assert_eq!(again.bytes.as_ptr(), memory);
    }

    #[test]
    fn a_full_queue_drops_and_says_how_many() {
        let mut workers = Handover::between(2, 1, 1).unwrap();
        let [one, two] = &mut workers[..] else { panic!("two workers") };
        one.pack(1, &packet(1, b"a"));
        assert_eq!(one.send(), 0);
        one.pack(1, &packet(2, b"b"));
        one.pack(1, &packet(3, b"c"));
        assert_eq!(one.send(), 2);
        let first = two.receive().unwrap();
        assert_eq!(first.packets().collect::<Vec<_>>(), [packet(1, b"a")]);
        assert!(two.receive().is_none());
    }

    #[test]
    fn a_worker_that_ended_is_no_trouble_to_others() {
        let mut workers = Handover::between(2, 4, 1).unwrap();
        workers.truncate(1);
        workers[0].pack(1, &packet(1, b"a"));
        assert_eq!(workers[0].send(), 1);
    }

    #[test]
    fn an_order_that_finds_no_room_is_told() {
        let workers = Handover::between(2, 4, 1).unwrap();
        let order = || Order::Revoke(Revoke::Room("demo".to_owned()), None, None);
        assert!(workers[1].control().order(order()));
        assert!(!workers[1].control().order(order()));
        assert!(workers[0].next_order().is_none());
        assert!(matches!(workers[1].next_order(), Some(Order::Revoke(Revoke::Room(_), ..))));
    }

    #[test]
    fn stopping_is_seen_by_that_worker_only() {
        let workers = Handover::between(2, 4, 1).unwrap();
        workers[1].control().stop();
        assert!(!workers[0].is_stopped());
        assert!(workers[1].is_stopped());
    }
}
