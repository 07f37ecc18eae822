//! STUN Binding requests, as many as the server answers.

use crate::link;
use crate::measure::Load;
use crate::packet::Seen;
use crate::sys::{CALL_DATAGRAMS, Receiver};
use crate::traffic::{Tally, take};
use crate::turn;
use bench_kit::{Interest, Poller};
use heliograph_base::Clock;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd as _;

/// A closed loop with a window for each socket.
pub(crate) struct Binding {
    tally: Tally,
    clock: Clock,
    askers: Vec<Asker>,
    poller: Poller,
    receiver: Receiver,
    due: Vec<usize>,
    /// Whose turn it is; empty between turns.
    asking: Vec<usize>,
    next_check_ns: u64,
}

struct Asker {
    socket: UdpSocket,
    own: SocketAddr,
    /// How many requests were sent, and how many of them are no longer waited for.
    sent: u64,
    settled: u64,
    seen: Seen,
    sent_ns: [u64; WINDOW as usize],
    is_due: bool,
    lives: bool,
}

/// How many answers each socket waits for.
const WINDOW: u64 = 8;

/// After so long without an answer the requests of a socket count as lost.
const PATIENCE_NS: u64 = 200_000_000;

const ANSWER_BYTES_MAX: usize = 512;

impl Binding {
    pub(crate) fn new(
        server: SocketAddrV4,
        own: Ipv4Addr,
        sockets: usize,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let (mut askers, poller) = (Vec::new(), Poller::new()?);
        for token in 0..sockets {
            let socket = link::socket(own)?;
            socket.connect(server)?;
            poller.add(socket.as_fd(), token as u64, Interest::READS)?;
            let own = socket.local_addr()?;
            let (seen, sent_ns) = (Seen::default(), [0; WINDOW as usize]);
            let (is_due, lives) = (true, false);
            askers.push(Asker { socket, own, sent: 0, settled: 0, seen, sent_ns, is_due, lives });
        }
        Ok(Self {
            tally: Tally::new(),
            clock,
            askers,
            poller,
            receiver: Receiver::new(CALL_DATAGRAMS, ANSWER_BYTES_MAX),
            due: (0..sockets).collect(),
            asking: Vec::new(),
            next_check_ns: 0,
        })
    }

    fn receive(&mut self, timeout_ms: i32) -> anyhow::Result<()> {
        let ready = self.poller.wait(timeout_ms)?;
        let now_ns = self.clock.now().time.as_nanos();
        for place in 0..ready {
            let number = self.poller.ready(place).token as usize;
            let asker = &mut self.askers[number];
            if !take(&mut self.receiver, &asker.socket)? {
                continue;
            }
            for datagram in self.receiver.datagrams() {
                asker.handle(number, datagram.bytes, now_ns, &mut self.tally);
            }
            self.receiver.clear();
            if !asker.is_due && asker.sent - asker.settled < WINDOW {
                asker.is_due = true;
                self.due.push(number);
            }
        }
        Ok(())
    }

    fn give_up_lost(&mut self) {
        for (number, asker) in self.askers.iter_mut().enumerate() {
            if !asker.lives && !asker.is_due {
                asker.settled = asker.sent;
                asker.is_due = true;
                self.due.push(number);
            }
            asker.lives = false;
        }
    }
}

impl Load for Binding {
    fn turn(&mut self) -> anyhow::Result<()> {
        self.receive(i32::from(self.due.is_empty()))?;
        let now_ns = self.clock.now().time.as_nanos();
        mem::swap(&mut self.due, &mut self.asking);
        for number in self.asking.drain(..) {
            let asker = &mut self.askers[number];
            match asker.ask(number, now_ns) {
                Ok(()) => self.tally.send(1, true),
                Err(error) => self.tally.refuse(error, 1)?,
            }
            asker.is_due = asker.sent - asker.settled < WINDOW;
            if asker.is_due {
                self.due.push(number);
            }
        }
        if now_ns >= self.next_check_ns {
            self.next_check_ns = now_ns + PATIENCE_NS;
            self.give_up_lost();
        }
        Ok(())
    }

    fn drain(&mut self, timeout_ms: i32) -> anyhow::Result<()> {
        self.receive(timeout_ms)
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

impl Asker {
    fn ask(&mut self, number: usize, now_ns: u64) -> std::io::Result<()> {
        let request = turn::binding_request(transaction(number, self.sent));
        self.sent_ns[(self.sent % WINDOW) as usize] = now_ns;
        self.sent += 1;
        self.socket.send(&request).map(drop)
    }

    fn handle(&mut self, number: usize, bytes: &[u8], now_ns: u64, tally: &mut Tally) {
        let Some((transaction_id, mapped)) = turn::read_binding(bytes) else {
            tally.wrong += 1;
            return;
        };
        let request =
            transaction_id.last_chunk().map_or(u64::MAX, |last| u64::from_be_bytes(*last));
        let is_right = transaction_id == transaction(number, request)
            && request < self.sent
            && mapped == self.own;
        if !is_right {
            tally.wrong += 1;
        } else if self.seen.insert(request) {
            tally.received += 1;
            tally.watched_received += 1;
            // An answer that nobody waits for any more has no place for its time.
            if self.sent - request <= WINDOW {
                let sent_ns = self.sent_ns[(request % WINDOW) as usize];
                tally.latency.add(now_ns.saturating_sub(sent_ns));
            }
            self.settled = (self.settled + 1).min(self.sent);
            self.lives = true;
        } else {
            tally.repeated += 1;
        }
    }
}

fn transaction(asker: usize, request: u64) -> [u8; 12] {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&(asker as u32).to_be_bytes());
    id[4..].copy_from_slice(&request.to_be_bytes());
    id
}
