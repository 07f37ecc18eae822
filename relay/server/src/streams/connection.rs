//! One connection: cuts messages out of what the client sends, and writes what its worker gives.
//!
//! No half-open client holds a connection for ever: every wait has its deadline.

use super::clients::{Arrival, StreamClient};
use super::door::Door;
use super::gate::Place;
use super::lane::Lane;
use crate::config::StreamLimits;
use bytes::BytesMut;
use relay_core::wire::{Malformed, STREAM_MESSAGE_BYTES_MAX, stream_message_bytes};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

/// A connection's ties to the rest of the relay.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: StreamClient,
    /// Tells apart connections from the same address, one after the other.
    pub(super) number: u64,
    pub(super) door: Door,
    pub(super) lane: Arc<Lane>,
    pub(super) place: Place,
    pub(super) limits: StreamLimits,
    /// The most messages handed to the worker at once.
    pub(super) batch_messages: usize,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client closed it.
    Closed,
    /// It broke.
    Broken,
    /// What came was no STUN.
    Malformed,
    /// No first message came in time.
    Silent,
    /// A message came too slowly.
    Halting,
    /// No allocation was made in time.
    Unallocated,
    /// The client was not heard of for longer than any allocation lives.
    Idle,
    /// The client took nothing of what waited for it.
    Stalled,
    /// The client asked on and on without reading the answers.
    Overrun,
    /// The relay ends.
    Stopped,
}

impl End {
    pub(super) const ALL: [Self; 10] = [
        Self::Closed,
        Self::Broken,
        Self::Malformed,
        Self::Silent,
        Self::Halting,
        Self::Unallocated,
        Self::Idle,
        Self::Stalled,
        Self::Overrun,
        Self::Stopped,
    ];

    /// Its name as a metric's label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Malformed => "malformed",
            Self::Silent => "silent",
            Self::Halting => "halting",
            Self::Unallocated => "unallocated",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::Overrun => "overrun",
            Self::Stopped => "stopped",
        }
    }
}

/// How much is taken off a lane at once: what was taken can't be dropped any more.
const TAKE_BYTES: usize = 16 << 10;

/// How many times `read_bytes` are asked for when the last read brought as much as asked for.
const EAGER: usize = 4;

/// Serves a connection to its end.
pub(super) async fn serve<S>(stream: S, mut link: Link) -> End
where
    S: AsyncRead + AsyncWrite,
{
    let Link { client, number, .. } = link;
    let lane = Arc::clone(&link.lane);
    if !link.door.send(Arrival::Opened { client, number, lane }).await {
        return End::Stopped;
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    let end = exchange(&mut reader, &mut writer, &mut link).await;
    link.door.send(Arrival::Gone { client, number }).await;
    let _ = timeout(link.limits.goodbye_timeout, writer.shutdown()).await;
    end
}

async fn exchange<S>(reader: &mut ReadHalf<S>, writer: &mut WriteHalf<S>, link: &mut Link) -> End
where
    S: AsyncRead + AsyncWrite,
{
    let mut watch = Watch::new(link.limits);
    let mut incoming = Incoming::new(&link.limits, link.batch_messages);
    let mut outgoing = Outgoing::default();
    let mut timer = pin!(sleep_until(watch.deadline().0));
    loop {
        outgoing.refill(&link.lane, &mut watch);
        if watch.allocated {
            link.place.opened();
        }
        let (deadline, end) = watch.deadline();
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            read = reader.read_buf(incoming.room()), if incoming.is_cut() => match read {
                Ok(0) => return End::Closed,
                Ok(bytes) => if incoming.cut(bytes, &mut watch).is_err() {
                    return End::Malformed;
                },
                Err(_) => return End::Broken,
            },
            permit = link.door.room(), if !incoming.is_cut() => {
                let Some(permit) = permit else { return End::Stopped };
                let (client, number) = (link.client, link.number);
                let (bytes, messages) = incoming.take();
                permit.send(Arrival::Messages { client, number, bytes, messages });
                link.door.ring();
                if incoming.cut(0, &mut watch).is_err() {
                    return End::Malformed;
                }
            },
            wrote = write(writer, outgoing.rest()), if outgoing.is_under_way() => match wrote {
                Ok(Some(0)) | Err(_) => return End::Broken,
                Ok(Some(bytes)) => outgoing.wrote(bytes, &mut watch),
                Ok(None) => outgoing.flushed(&mut watch),
            },
            () = link.lane.appended() => {
                if link.lane.is_overrun() {
                    return End::Overrun;
                }
                outgoing.more = true;
            },
            () = timer.as_mut() => {
                if watch.deadline().0 <= Instant::now() {
                    return end;
                }
                timer.as_mut().reset(deadline);
            }
        }
    }
}

/// Writes some of the bytes and says how many, or if there are none, flushes. Cancelled, it has
/// done nothing.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<Option<usize>> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| None);
    }
    writer.write(bytes).await.map(Some)
}

/// What came from the client and is not yet handed to the worker.
struct Incoming {
    buffer: BytesMut,
    /// How many bytes at its beginning are whole messages, and how many these are.
    whole: (usize, usize),
    messages_max: usize,
    read_bytes: usize,
    asked: usize,
}

impl Incoming {
    fn new(limits: &StreamLimits, messages_max: usize) -> Self {
        let read_bytes = limits.read_bytes;
        Self { buffer: BytesMut::new(), whole: (0, 0), messages_max, read_bytes, asked: read_bytes }
    }

    /// Whether no whole message is left: more must be read.
    fn is_cut(&self) -> bool {
        self.whole.0 == 0
    }

    /// The buffer, with room to read into.
    fn room(&mut self) -> &mut BytesMut {
        if self.is_cut() && self.buffer.capacity() - self.buffer.len() < self.asked {
            self.buffer.reserve(self.asked);
        }
        &mut self.buffer
    }

    /// Looks for whole messages, after so many bytes were read.
    fn cut(&mut self, read: usize, watch: &mut Watch) -> Result<(), Malformed> {
        if read > 0 {
            self.asked = if read < self.asked { self.read_bytes } else { EAGER * self.read_bytes };
        }
        let (mut bytes, mut messages) = (0, 0);
        while messages < self.messages_max {
            let stream = &self.buffer[bytes..];
            match stream_message_bytes(stream, STREAM_MESSAGE_BYTES_MAX) {
                Ok(Some(length)) if length <= stream.len() => bytes += length,
                Ok(_) => break,
                // What came before it counts.
                Err(_) if bytes > 0 => break,
                Err(malformed) => return Err(malformed),
            }
            messages += 1;
        }
        self.whole = (bytes, messages);
        watch.read(messages > 0, self.buffer.len() - bytes);
        Ok(())
    }

    /// The whole messages.
    fn take(&mut self) -> (bytes::Bytes, usize) {
        let (bytes, messages) = std::mem::take(&mut self.whole);
        (self.buffer.split_to(bytes).freeze(), messages)
    }
}

/// What was taken off the lane and is not yet sent.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// Whether the lane may have more.
    more: bool,
}

impl Outgoing {
    /// Takes more off the lane once all is written.
    fn refill(&mut self, lane: &Lane, watch: &mut Watch) {
        if !self.more || !self.is_written() {
            return;
        }
        let was_idle = !self.unflushed;
        self.bytes.clear();
        self.written = 0;
        if self.bytes.capacity() > EAGER * TAKE_BYTES {
            self.bytes = Vec::new();
        }
        let allocated = lane.take(&mut self.bytes, TAKE_BYTES);
        self.more = !self.bytes.is_empty();
        watch.allocation(allocated);
        if was_idle && self.more {
            watch.waits();
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    fn wrote(&mut self, bytes: usize, watch: &mut Watch) {
        self.written += bytes;
        self.unflushed = true;
        watch.waits();
    }

    fn is_under_way(&self) -> bool {
        self.unflushed || !self.is_written()
    }

    fn flushed(&mut self, watch: &mut Watch) {
        self.unflushed = false;
        if !self.more {
            watch.nothing_waits();
        }
    }
}

/// Until when the client must have done what.
struct Watch {
    limits: StreamLimits,
    opened: Instant,
    /// When the last whole message came.
    heard: Option<Instant>,
    /// Since when there is half a message, and how much of it.
    half: Option<(Instant, usize)>,
    allocated: bool,
    unallocated_since: Instant,
    /// When the client last took something of what waits for it.
    waiting: Option<Instant>,
}

impl Watch {
    fn new(limits: StreamLimits) -> Self {
        let opened = Instant::now();
        Self {
            limits,
            opened,
            heard: None,
            half: None,
            allocated: false,
            unallocated_since: opened,
            waiting: None,
        }
    }

    /// The next deadline, and what it means to miss it.
    fn deadline(&self) -> (Instant, End) {
        let limits = &self.limits;
        let heard = match self.heard {
            None => (self.opened + limits.first_message_timeout, End::Silent),
            Some(heard) => (heard + limits.idle_timeout, End::Idle),
        };
        let unallocated = (self.unallocated_since + limits.unallocated_timeout, End::Unallocated);
        let half = self.half.map(|(since, bytes)| {
            let earned = Duration::from_secs((bytes / limits.progress_bytes_s) as u64);
            (since + limits.half_message_timeout + earned, End::Halting)
        });
        let waiting = self.waiting.map(|since| (since + limits.stall_timeout, End::Stalled));
        let all = [Some(heard), (!self.allocated).then_some(unallocated), half, waiting];
        all.into_iter().flatten().min_by_key(|(deadline, _)| *deadline).unwrap_or(heard)
    }

    /// Takes note of what was read: whether whole messages, and how much of another one is there.
    fn read(&mut self, whole: bool, half_bytes: usize) {
        let now = Instant::now();
        if whole {
            self.heard = Some(now);
        }
        let since = self.half.filter(|_| !whole).map_or(now, |(since, _)| since);
        self.half = (half_bytes > 0).then_some((since, half_bytes));
    }

    fn allocation(&mut self, allocated: bool) {
        if self.allocated && !allocated {
            self.unallocated_since = Instant::now();
        }
        self.allocated = allocated;
    }

    fn waits(&mut self) {
        self.waiting = Some(Instant::now());
    }

    fn nothing_waits(&mut self) {
        self.waiting = None;
    }
}
