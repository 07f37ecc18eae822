//! One connection: cuts messages out of what the client sends, and writes what its worker gives.
//!
//! No half-open client holds a connection for ever: every wait has its deadline.

use super::Shared;
use super::clients::{Arrival, StreamClient};
use super::door::Door;
use super::gate::Place;
use super::lane::Lane;
use super::peers::Joint;
use super::splice::splice;
use crate::config::StreamLimits;
use bytes::BytesMut;
use relay_core::wire::{ConnectionId, STREAM_MESSAGE_BYTES_MAX, stream_message_bytes};
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
    /// The worker that it belongs to.
    pub(super) worker: usize,
    /// Whether the worker knows of it.
    pub(super) is_open: bool,
    pub(super) shared: Arc<Shared>,
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
    /// The allocation ended whose peer it was joined to.
    Expired,
}

impl End {
    pub(super) const ALL: [Self; 11] = [
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
        Self::Expired,
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
            Self::Expired => "expired",
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
    let (mut reader, mut writer) = tokio::io::split(stream);
    let end = match exchange(&mut reader, &mut writer, &mut link).await {
        Err(end) => end,
        Ok((joint, begun)) => {
            link.place.opened();
            let (limits, counters) = (&link.limits, &link.shared.counters);
            splice(&mut reader, &mut writer, &begun, joint, limits, counters).await
        }
    };
    if link.is_open {
        link.door().send(Arrival::Gone { client, number }).await;
    }
    let _ = timeout(link.limits.goodbye_timeout, writer.shutdown()).await;
    end
}

impl Link {
    fn door(&self) -> &Door {
        &self.shared.doors[self.worker]
    }

    /// Tells a worker of the connection, with its first messages: the one that has the peer
    /// connection which they ask to be bound to, or else any. Whether it is there.
    async fn open(&mut self, bind: Option<ConnectionId>) -> bool {
        let owner = bind.map(|connection| usize::from(connection.worker().0));
        self.worker = owner.filter(|own| *own < self.shared.doors.len()).unwrap_or(self.worker);
        self.is_open = true;
        let Self { client, number, .. } = *self;
        let lane = Arc::clone(&self.lane);
        self.door().send(Arrival::Opened { client, number, lane }).await
    }
}

/// Carries messages until the connection ends, or is joined to a peer: then gives what the client
/// sent behind its last message.
async fn exchange<S>(
    reader: &mut ReadHalf<S>,
    writer: &mut WriteHalf<S>,
    link: &mut Link,
) -> Result<(Joint, BytesMut), End>
where
    S: AsyncRead + AsyncWrite,
{
    let mut watch = Watch::new(link.limits);
    let mut incoming = Incoming::new(&link.limits, link.batch_messages);
    let mut outgoing = Outgoing::default();
    let mut timer = pin!(sleep_until(watch.deadline().0));
    loop {
        if outgoing.refill(&link.lane, &mut watch) && outgoing.joint.is_none() {
            incoming.go_on(&mut watch)?;
        }
        if let Some(joint) = outgoing.joint() {
            return Ok((joint, incoming.buffer));
        }
        if watch.allocated {
            link.place.opened();
        }
        if !incoming.is_cut() && !link.is_open && !link.open(incoming.bind).await {
            return Err(End::Stopped);
        }
        let (deadline, end) = watch.deadline();
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        tokio::select! {
            read = reader.read_buf(incoming.room()), if incoming.wants_more() => match read {
                Ok(0) => return Err(End::Closed),
                Ok(bytes) => incoming.cut(bytes, &mut watch)?,
                Err(_) => return Err(End::Broken),
            },
            permit = link.door().room(), if !incoming.is_cut() => {
                let Some(permit) = permit else { return Err(End::Stopped) };
                let (client, number) = (link.client, link.number);
                let (bytes, messages) = incoming.take();
                permit.send(Arrival::Messages { client, number, bytes, messages });
                link.door().ring();
                incoming.cut(0, &mut watch)?;
            },
            wrote = write(writer, outgoing.rest()), if outgoing.is_under_way() => match wrote {
                Ok(Some(0)) | Err(_) => return Err(End::Broken),
                Ok(Some(bytes)) => outgoing.wrote(bytes, &mut watch),
                Ok(None) => outgoing.flushed(&mut watch),
            },
            () = link.lane.appended() => {
                if link.lane.is_overrun() {
                    return Err(End::Overrun);
                }
                outgoing.more = true;
            },
            () = timer.as_mut() => {
                if watch.deadline().0 <= Instant::now() {
                    return Err(end);
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
    /// The peer connection that the last of them asks to be bound to. What follows is no message
    /// if that succeeds, and waits for the answer.
    bind: Option<ConnectionId>,
    /// Whether it does.
    waits: bool,
    messages_max: usize,
    read_bytes: usize,
    asked: usize,
}

impl Incoming {
    fn new(limits: &StreamLimits, messages_max: usize) -> Self {
        let read_bytes = limits.read_bytes;
        Self {
            buffer: BytesMut::new(),
            whole: (0, 0),
            bind: None,
            waits: false,
            messages_max,
            read_bytes,
            asked: read_bytes,
        }
    }

    /// Whether no whole message is left: more must be read.
    fn is_cut(&self) -> bool {
        self.whole.0 == 0
    }

    fn wants_more(&self) -> bool {
        self.is_cut() && !self.waits
    }

    /// Takes note of an answer.
    fn go_on(&mut self, watch: &mut Watch) -> Result<(), End> {
        if !std::mem::take(&mut self.waits) {
            return Ok(());
        }
        self.cut(0, watch)
    }

    /// The buffer, with room to read into.
    fn room(&mut self) -> &mut BytesMut {
        if self.is_cut() && self.buffer.capacity() - self.buffer.len() < self.asked {
            self.buffer.reserve(self.asked);
        }
        &mut self.buffer
    }

    /// Looks for whole messages, after so many bytes were read.
    fn cut(&mut self, read: usize, watch: &mut Watch) -> Result<(), End> {
        if read > 0 {
            self.asked = if read < self.asked { self.read_bytes } else { EAGER * self.read_bytes };
        }
        if self.waits {
            return Ok(());
        }
        let (mut bytes, mut messages) = (0, 0);
        self.bind = None;
        while messages < self.messages_max && self.bind.is_none() {
            let stream = &self.buffer[bytes..];
            match stream_message_bytes(stream, STREAM_MESSAGE_BYTES_MAX) {
                Ok(Some(length)) if length <= stream.len() => {
                    self.bind = ConnectionId::to_bind(&stream[..length]);
                    bytes += length;
                }
                Ok(_) => break,
                // What came before it counts.
                Err(_) if bytes > 0 => break,
                Err(_) => return Err(End::Malformed),
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
        self.waits = self.bind.take().is_some();
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
    /// What the connection is joined to once all is sent.
    joint: Option<Joint>,
}

impl Outgoing {
    /// Takes more off the lane once all is written; whether there was any.
    fn refill(&mut self, lane: &Lane, watch: &mut Watch) -> bool {
        if !self.more || !self.is_written() {
            return false;
        }
        let was_idle = !self.unflushed;
        self.bytes.clear();
        self.written = 0;
        if self.bytes.capacity() > EAGER * TAKE_BYTES {
            self.bytes = Vec::new();
        }
        let (allocated, joint) = lane.take(&mut self.bytes, TAKE_BYTES);
        self.joint = self.joint.take().or(joint);
        self.more = !self.bytes.is_empty();
        watch.allocation(allocated);
        if was_idle && self.more {
            watch.waits();
        }
        self.more
    }

    /// What the connection is to be joined to now.
    fn joint(&mut self) -> Option<Joint> {
        if self.is_under_way() { None } else { self.joint.take() }
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
