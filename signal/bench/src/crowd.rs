//! All clients of one run: their sockets, and both protocols, as a correct client speaks them.

use crate::json;
use crate::peer::{Came, Name, Peer, State, upgraded};
use crate::websocket::{self, Frame, Writer};
use anyhow::{Context as _, bail};
use bench_kit::{Interest, Poller};
use heliograph_base::Clock;
use std::collections::VecDeque;
use std::io::Write as _;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is spoken with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// Frames are numbered and acknowledged; so are signals, if `ids`.
    Heliograph { ids: bool },
    /// The same without any numbers.
    Plain,
}

/// What stands in a frame of the server.
struct Fields<'a> {
    seq: Option<u64>,
    ack: Option<u64>,
    kind: &'a [u8],
    who: &'a [u8],
    data: &'a [u8],
    reason: &'a [u8],
    text: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(text: &'a [u8]) -> Self {
        let [kind, who, data, reason] = [&b""[..]; 4];
        let mut fields = Self { seq: None, ack: None, kind, who, data, reason, text };
        for (name, value) in json::fields(text) {
            match name {
                b"seq" => fields.seq = json::number(value),
                b"ack" => fields.ack = json::number(value),
                b"type" => fields.kind = json::text(value),
                b"peer" | b"from" => fields.who = json::text(value),
                b"data" | b"members" | b"changes" => fields.data = value,
                b"reason" => fields.reason = json::text(value),
                _ => {}
            }
        }
        fields
    }
}

/// What a client was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// Its own seat.
    Joined,
    /// Somebody else has come.
    Other,
    /// Somebody else has gone.
    Left { peer: &'a [u8], reason: &'a [u8] },
    /// From the other of two, so that nobody has to look at the sender, or else it is wrong.
    Signal { from: &'a [u8], data: &'a [u8] },
    /// Its connection is over.
    Closed,
}

/// Who is told of events.
pub(crate) trait Listener {
    fn handle(&mut self, crowd: &mut Crowd, peer: usize, event: Event<'_>) -> anyhow::Result<()>;
}

/// For when nothing is expected that matters.
pub(crate) struct Nobody;

impl Listener for Nobody {
    fn handle(&mut self, _: &mut Crowd, _: usize, _: Event<'_>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// The clients.
pub(crate) struct Crowd {
    pub(crate) peers: Vec<Peer>,
    /// How many have a seat.
    pub(crate) joined: usize,
    /// What no server may do, and the first time that one did it.
    pub(crate) wrong: u64,
    pub(crate) first_wrong: Option<String>,
    /// Whether requests are refused that no server can carry out.
    pub(crate) expects_errors: bool,
    /// Begins the names of rooms: a server that runs on still has the sessions of runs before.
    rooms: String,
    server: SocketAddrV4,
    language: Language,
    clock: Clock,
    poller: Poller,
    buffer: Vec<u8>,
    writer: Writer,
    /// Who has to acknowledge at what time.
    acks: VecDeque<(u64, usize)>,
}

/// A client acknowledges so many frames at once, and the first one after so long at the latest.
const ACK_FRAMES: u64 = 32;
const ACK_AFTER_NS: u64 = 2_000_000_000;

/// So many clients share an address: fewer than there are ports.
const ADDRESS_PEERS: usize = 4096;

const BUFFER_BYTES: usize = 1 << 16;

static RUNS: AtomicU64 = AtomicU64::new(0);

/// What takes longer doesn't come.
const PATIENCE_NS: u64 = 30_000_000_000;
const WAIT_MS: i32 = 5;

impl Crowd {
    pub(crate) fn new(
        server: SocketAddrV4,
        language: Language,
        peers: usize,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            peers: (0..peers).map(|_| Peer::new()).collect(),
            joined: 0,
            wrong: 0,
            first_wrong: None,
            expects_errors: false,
            rooms: format!("{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed)),
            server,
            language,
            clock,
            poller: Poller::new()?,
            buffer: vec![0; BUFFER_BYTES],
            writer: Writer::new(),
            acks: VecDeque::new(),
        })
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now().time.as_nanos()
    }

    /// Has a client go into a room.
    pub(crate) fn join(
        &mut self,
        number: usize,
        room: usize,
        buffer_bytes: Option<usize>,
    ) -> anyhow::Result<()> {
        let begun_ns = self.now_ns();
        let host = 1 + (number / ADDRESS_PEERS) as u32;
        let from = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + host);
        let peer = &mut self.peers[number];
        let stream = peer.connect(self.server, from, buffer_bytes)?;
        let interest = Interest { reads: false, writes: true };
        self.poller.add(stream.as_fd(), number as u64, interest)?;
        (peer.room, peer.begun_ns) = (room, begun_ns);
        Ok(())
    }

    /// Has a client close its connection in order, and so leave.
    pub(crate) fn leave(&mut self, number: usize) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        if peer.state == State::Joined {
            self.joined -= 1;
            // Or the others would be told that what they sent last didn't arrive.
            if peer.close_code.is_none() && peer.acked < peer.seq {
                self.acknowledge(number)?;
            }
        }
        let peer = &mut self.peers[number];
        peer.state = State::Closing;
        self.writer.start().extend_from_slice(&1000_u16.to_be_bytes());
        self.send(number, websocket::CLOSE)
    }

    /// Has a client read, or not.
    pub(crate) fn set_reading(&mut self, number: usize, reads: bool) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        peer.reads = reads;
        if peer.state != State::Away {
            self.watch(number)?;
        }
        Ok(())
    }

    /// Has a client send a signal.
    pub(crate) fn signal(&mut self, number: usize, to: Name, data: &[u8]) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        let text = self.writer.start();
        text.extend_from_slice(b"{\"type\":\"signal\",\"to\":\"");
        text.extend_from_slice(to.text());
        text.extend_from_slice(b"\",\"data\":");
        text.extend_from_slice(data);
        match self.language {
            Language::Heliograph { ids } => {
                if ids {
                    peer.id += 1;
                    write!(text, ",\"id\":{}", peer.id)?;
                }
                peer.write_ack(text);
            }
            Language::Plain => {}
        }
        text.push(b'}');
        self.send(number, websocket::TEXT)
    }

    /// Takes what comes within a time, 0: what is there.
    pub(crate) fn turn(
        &mut self,
        timeout_ms: i32,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<()> {
        let ready = self.poller.wait(timeout_ms)?;
        for place in 0..ready {
            let ready = self.poller.ready(place);
            let number = ready.token as usize;
            if ready.writes {
                self.handle_writable(number)?;
            }
            if ready.reads {
                self.handle_readable(number, listener)?;
            }
        }
        self.acknowledge_late()
    }

    /// Takes what comes until something is so, or nothing more can be hoped for.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        listener: &mut dyn Listener,
        is_so: impl Fn(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let until_ns = self.now_ns() + PATIENCE_NS;
        while !is_so(self) {
            self.turn(WAIT_MS, listener)?;
            if self.now_ns() > until_ns {
                bail!("waited in vain until {what}");
            }
        }
        Ok(())
    }

    /// Takes what comes for so long.
    pub(crate) fn rest(&mut self, time: Duration) -> anyhow::Result<()> {
        let until_ns = self.now_ns() + time.as_nanos() as u64;
        while self.now_ns() < until_ns {
            self.turn(WAIT_MS, &mut Nobody)?;
        }
        Ok(())
    }

    /// Has all leave that are there, and waits until they are gone.
    pub(crate) fn empty(&mut self) -> anyhow::Result<()> {
        for number in 0..self.peers.len() {
            if self.peers[number].state == State::Joined {
                self.leave(number)?;
            }
        }
        let is_away = |peer: &Peer| peer.state == State::Away;
        self.wait_until("all are gone", &mut Nobody, |crowd| crowd.peers.iter().all(is_away))
    }

    /// Takes note that a server has done what none may do.
    pub(crate) fn note_wrong(&mut self, what: &str) {
        self.wrong += 1;
        self.first_wrong.get_or_insert_with(|| what.to_owned());
    }

    fn handle_writable(&mut self, number: usize) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        match peer.state {
            State::Away => return Ok(()),
            State::Connecting => {
                if let Some(error) = peer.stream()?.take_error()? {
                    bail!("a connection was refused: {error}");
                }
                peer.ask_upgrade(self.server);
            }
            State::Upgrading | State::Greeting | State::Joined | State::Closing => {
                if peer.flush() {
                    return Ok(());
                }
            }
        }
        self.watch(number)
    }

    fn handle_readable(
        &mut self,
        number: usize,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<()> {
        let mut buffer = mem::take(&mut self.buffer);
        let peer = &mut self.peers[number];
        match peer.read(&mut buffer) {
            Came::Nothing => {}
            Came::End => self.handle_end(number, listener)?,
            Came::Bytes(count) if peer.inbox.is_empty() => {
                let taken = self.handle_bytes(number, &buffer[..count], listener)?;
                self.peers[number].inbox.extend_from_slice(&buffer[taken..count]);
            }
            Came::Bytes(count) => {
                let mut inbox = mem::take(&mut peer.inbox);
                inbox.extend_from_slice(&buffer[..count]);
                let taken = self.handle_bytes(number, &inbox, listener)?;
                inbox.drain(..taken);
                self.peers[number].inbox = inbox;
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    fn handle_end(&mut self, number: usize, listener: &mut dyn Listener) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        match peer.state {
            State::Away => return Ok(()),
            State::Connecting | State::Upgrading | State::Greeting => {
                bail!("the server ended a connection while it was being made")
            }
            State::Closing if peer.name == Name::default() => {
                bail!("the server ended a connection with {:?}", peer.close_code)
            }
            State::Joined => self.joined -= 1,
            State::Closing => {}
        }
        peer.drop_connection();
        listener.handle(self, number, Event::Closed)
    }

    /// Takes whole frames, and says how many bytes they had.
    fn handle_bytes(
        &mut self,
        number: usize,
        bytes: &[u8],
        listener: &mut dyn Listener,
    ) -> anyhow::Result<usize> {
        let mut taken = 0;
        if self.peers[number].state == State::Upgrading {
            match upgraded(bytes) {
                None => return Ok(0),
                Some(Err(_)) => bail!("no upgrade: {}", String::from_utf8_lossy(bytes)),
                Some(Ok(head)) => taken = head,
            }
            self.greet(number)?;
        }
        loop {
            match websocket::read(&bytes[taken..]) {
                Ok(None) => return Ok(taken),
                Ok(Some((frame, bytes))) => {
                    taken += bytes;
                    self.handle_frame(number, frame, listener)?;
                }
                Err(_) => bail!("the server sent what is no frame"),
            }
        }
    }

    fn greet(&mut self, number: usize) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        peer.state = State::Greeting;
        let text = self.writer.start();
        write!(text, "{{\"type\":\"hello\",\"room\":\"{}-{}\"", self.rooms, peer.room)?;
        write!(text, ",\"metadata\":{{\"name\":\"peer {number}\"}}}}")?;
        self.send(number, websocket::TEXT)
    }

    fn handle_frame(
        &mut self,
        number: usize,
        Frame { kind, payload }: Frame<'_>,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<()> {
        match kind {
            websocket::TEXT => self.handle_text(number, payload, listener),
            websocket::PING => {
                self.writer.start().extend_from_slice(payload);
                self.send(number, websocket::PONG)
            }
            websocket::CLOSE => {
                let peer = &mut self.peers[number];
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                peer.close_code = code;
                if peer.state == State::Closing {
                    return Ok(());
                }
                self.leave(number)
            }
            _ => {
                self.note_wrong("a frame of another kind");
                Ok(())
            }
        }
    }

    fn handle_text(
        &mut self,
        number: usize,
        text: &[u8],
        listener: &mut dyn Listener,
    ) -> anyhow::Result<()> {
        let fields = Fields::read(text);
        if let Language::Heliograph { .. } = self.language {
            self.handle_numbers(number, fields.kind, fields.seq, fields.ack)?;
        }
        if fields.kind != b"presence" {
            return self.handle_told(number, &fields, listener);
        }
        let mut changes = json::values(fields.data);
        changes.try_for_each(|change| self.handle_told(number, &Fields::read(change), listener))
    }

    fn handle_told(
        &mut self,
        number: usize,
        &Fields { kind, who, data, reason, text, .. }: &Fields<'_>,
        listener: &mut dyn Listener,
    ) -> anyhow::Result<()> {
        let event = match kind {
            b"welcome" => {
                self.handle_welcome(number, who, data)?;
                Event::Joined
            }
            b"joined" => {
                self.meet(number, who)?;
                Event::Other
            }
            b"left" => Event::Left { peer: who, reason },
            b"signal" => Event::Signal { from: who, data },
            b"ack" | b"away" | b"back" => return Ok(()),
            b"error" if self.expects_errors => return Ok(()),
            _ => {
                self.note_wrong(&String::from_utf8_lossy(text));
                return Ok(());
            }
        };
        listener.handle(self, number, event)
    }

    fn handle_welcome(&mut self, number: usize, who: &[u8], members: &[u8]) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        peer.state = State::Joined;
        peer.name = Name::new(who).context("a peer id is too long")?;
        self.joined += 1;
        for member in json::values(members) {
            let id = json::fields(member).find(|(name, _)| *name == b"peer");
            let (_, id) = id.context("a member without peer id")?;
            self.meet(number, json::text(id))?;
        }
        Ok(())
    }

    fn meet(&mut self, number: usize, who: &[u8]) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        peer.other = Name::new(who).context("a peer id is too long")?;
        peer.met += 1;
        peer.met_marks = peer.met_marks.wrapping_add(peer.other.mark());
        Ok(())
    }

    /// Looks at a frame's numbers, and acknowledges when it is time.
    fn handle_numbers(
        &mut self,
        number: usize,
        kind: &[u8],
        seq: Option<u64>,
        ack: Option<u64>,
    ) -> anyhow::Result<()> {
        let peer = &mut self.peers[number];
        if let Some(ack) = ack.filter(|_| kind != b"welcome") {
            let is_possible = (peer.id_acked..=peer.id).contains(&ack);
            peer.id_acked = ack;
            if !is_possible {
                self.note_wrong("an acknowledgement of what was never sent");
            }
        }
        let peer = &mut self.peers[number];
        let Some(seq) = seq else {
            if kind != b"ack" {
                self.note_wrong("a frame without number");
            }
            return Ok(());
        };
        let is_next = seq == peer.seq + 1;
        peer.seq = seq;
        let waits = seq - peer.acked;
        if waits > 0 && !peer.ack_is_due {
            peer.ack_is_due = true;
            let due_ns = self.now_ns() + ACK_AFTER_NS;
            self.acks.push_back((due_ns, number));
        }
        if !is_next {
            self.note_wrong("frames are missing or came twice");
        }
        if waits >= ACK_FRAMES { self.acknowledge(number) } else { Ok(()) }
    }

    fn acknowledge_late(&mut self) -> anyhow::Result<()> {
        if self.acks.is_empty() {
            return Ok(());
        }
        let now_ns = self.now_ns();
        while let Some((_, number)) = self.acks.front().filter(|(due_ns, _)| *due_ns <= now_ns) {
            let number = *number;
            self.acks.pop_front();
            let peer = &mut self.peers[number];
            peer.ack_is_due = false;
            if peer.reads && peer.state == State::Joined && peer.acked < peer.seq {
                self.acknowledge(number)?;
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, number: usize) -> anyhow::Result<()> {
        let text = self.writer.start();
        text.extend_from_slice(b"{\"type\":\"ack\"");
        self.peers[number].write_ack(text);
        text.push(b'}');
        self.send(number, websocket::TEXT)
    }

    /// Sends what is in the writer.
    fn send(&mut self, number: usize, kind: u8) -> anyhow::Result<()> {
        let bytes = self.writer.finish(kind);
        let peer = &mut self.peers[number];
        let waited = !peer.outbox.is_empty();
        if peer.write(bytes) && !waited { self.watch(number) } else { Ok(()) }
    }

    fn watch(&mut self, number: usize) -> anyhow::Result<()> {
        let peer = &self.peers[number];
        let interest = Interest { reads: peer.reads, writes: !peer.outbox.is_empty() };
        Ok(self.poller.change(peer.stream()?.as_fd(), number as u64, interest)?)
    }
}
