//! The link to one peer: a task that negotiates its connection, watches over it and moves its
//! messages. It outlives the seats of both: as long as it is open, they stay connected.
//!
//! - [`task`]: the task itself, and [`watch`], what it says of itself; [`attempt`]: one connection
//!   with its channels; [`pump`]: what moves messages;
//! - without IO: [`negotiation`], what to do with each signal; [`channels`], the named channels;
//!   [`control`] and [`signal`], what the peers tell each other; [`path`], which way packets take;
//!   [`report`], what the server is told;
//! - the connection itself is the platform's: what it takes and says is here.

mod attempt;
mod channels;
mod control;
mod negotiation;
mod path;
mod pump;
mod report;
mod signal;
mod task;
mod watch;

pub use path::{CandidateType, Path, Protocol};
pub(crate) use signal::{Candidate, Description, Kind};

use crate::config::LINK_INPUTS_MAX;
use crate::inbox::{Closed, Inbox};
use crate::platform::{Connector, Task, spawn};
use crate::{Data, Diagnosis, Peer, Stats};
use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;
use signal_core::PeerId;
use signal_core::protocol::{Checks, DtlsState, IceServer, LeaveReason, Link};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What all links of a room have in common.
#[derive(Clone, Debug)]
pub(crate) struct IceSetup {
    pub(crate) servers: Vec<IceServer>,
    pub(crate) relay_only: bool,
    /// Whether the signaling server is on this machine: then its relay is too, and so may be peers.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code, reason = "browsers bind what they like"))]
    pub(crate) server_is_local: bool,
}

/// Why a connection didn't do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failed(pub(crate) String);

/// What a connection or one of its channels says.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A local candidate was found.
    Candidate(Candidate),
    /// No more local candidates follow.
    Gathered,
    /// A STUN or TURN server gave no address: why, as `RTCPeerConnectionIceErrorEvent` says it.
    CandidateError { url: String, code: u16, text: String },
    /// The connection is in another state.
    State(ConnectionState),
    /// A channel is open, or not any more.
    Channel { id: u16, is_open: bool },
    /// The program has closed a channel, and all that it sent is on its way.
    Drained { id: u16 },
    /// The other side says something about the link.
    Control(Data),
}

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    Connected,
    /// Nothing has come for some seconds.
    Silent,
    /// No pair of candidates works (any more).
    Failed,
    Closed,
}

/// What a data channel says.
#[derive(Debug)]
pub(crate) enum ChannelEvent {
    Open,
    Message(Data),
    Closed,
}

/// What a connection has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measures {
    /// The round trip of the last connectivity check.
    pub(crate) round_trip: Option<Duration>,
    /// Of the pair in use, all that isn't a connectivity check.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) checks: Checks,
    /// How far DTLS has come, if the connection says so.
    pub(crate) dtls: Option<DtlsState>,
}

/// Where a connection says what happens.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    inputs: mpsc::Sender<Input>,
    /// Which one of its link it is.
    attempt: u64,
}

impl Notices {
    /// Says it without waiting: for callbacks.
    pub(crate) fn notify(&self, notice: Notice) {
        if self.inputs.try_send(Input::Notice(self.attempt, notice)).is_err() {
            tracing::warn!("a notice of the connection is lost: its link is gone or overloaded");
        }
    }

    async fn send(&self, notice: Notice) -> Result<(), Closed> {
        let input = Input::Notice(self.attempt, notice);
        self.inputs.send(input).await.map_err(|_| Closed)
    }
}

/// Notices of a connection without a link.
#[cfg(test)]
pub(crate) fn notices() -> (Notices, mpsc::Receiver<Input>) {
    let (inputs, received) = mpsc::channel(LINK_INPUTS_MAX);
    (Notices { inputs, attempt: 0 }, received)
}

/// The parts in perfect negotiation that the server gave the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Whether this side gives way when offers collide.
    pub(crate) polite: bool,
    /// Whether this side makes the first offer.
    pub(crate) offers: bool,
}

/// What a link has to deal with.
#[derive(Debug)]
pub(crate) enum Input {
    /// The peer sent this.
    Signal(Box<RawValue>),
    /// A connection says this: which one of the link.
    Notice(u64, Notice),
    /// From now on these are the servers.
    Ice(Arc<IceSetup>),
    /// The peer has lost its seat, or we ours: the link goes on as long as it is open. Why, if the
    /// program is to be told at its end.
    Unseated(Option<LeaveReason>),
    /// Both have seats again, in one room.
    Seated(Roles),
    /// We have another seat: the peer is to know it by this link.
    Claim(PeerId),
    /// The local network is another one.
    NetworkChanged,
    /// The program wants another channel.
    Channels,
    /// The program wants no connection, until it asks for a restart.
    Close,
    /// The program wants another way, or another connection if there is none.
    Restart,
    /// The program wants to know how the connection is doing.
    Stats(oneshot::Sender<Stats>),
    /// The program wants to know why the connection is as it is.
    Diagnose(oneshot::Sender<Diagnosis>),
}

/// What a link tells its room.
#[derive(Debug)]
pub(crate) enum Word {
    /// This is to go to the peer.
    Signal {
        /// The link's number.
        from: u64,
        data: Box<RawValue>,
    },
    /// The peer says over the link where it sits now.
    Claim {
        /// The link's number.
        from: u64,
        seat: PeerId,
    },
    /// The server is to know how the link is.
    Report {
        /// The link's number.
        from: u64,
        report: Box<Link>,
    },
    /// The server is to be asked why it is so.
    Diagnose {
        /// The link's number.
        from: u64,
        answer: oneshot::Sender<Diagnosis>,
    },
}

/// What all links of a room are given.
#[derive(Clone)]
pub(crate) struct LinkConfig {
    pub(crate) connector: Connector,
    pub(crate) words: mpsc::Sender<Word>,
    pub(crate) inbox: Arc<Inbox>,
}

/// The room's end of a link. Dropped, the link closes its connection and its task ends.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    peer: Peer,
    /// Those of the last seats.
    roles: Roles,
    /// Whether the peer has a seat; without one the link lives only as long as it is open.
    is_seated: bool,
    /// Whether the program was told that the peer is away.
    pub(crate) is_away: bool,
    /// Where the peer says that it sits now.
    pub(crate) claim: Option<PeerId>,
    is_open: Arc<AtomicBool>,
    inputs: mpsc::Sender<Input>,
    end: Option<oneshot::Sender<Option<LeaveReason>>>,
}

impl LinkHandle {
    /// Starts a link as a task of `tasks`, which gives its number at its end.
    pub(crate) fn spawn(
        number: u64,
        peer: impl FnOnce(mpsc::Sender<Input>) -> Peer,
        roles: Roles,
        ice: Arc<IceSetup>,
        config: LinkConfig,
        tasks: &FuturesUnordered<Task<u64>>,
    ) -> Self {
        let (inputs, received) = mpsc::channel(LINK_INPUTS_MAX);
        let (end, ending) = oneshot::channel();
        let is_open = Arc::new(AtomicBool::new(false));
        let peer = peer(inputs.clone());
        let setting = task::Setting {
            number,
            peer: peer.clone(),
            config,
            is_open: Arc::clone(&is_open),
            inputs: inputs.clone(),
        };
        tasks.push(spawn(async move {
            task::run(setting, roles, ice, received, ending).await;
            number
        }));
        let end = Some(end);
        Self { peer, roles, is_seated: true, is_away: false, claim: None, is_open, inputs, end }
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn roles(&self) -> Roles {
        self.roles
    }

    /// Whether messages get through.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether it is open, but nobody knows where its far end sits.
    pub(crate) fn is_lost(&self) -> bool {
        !self.is_seated && self.is_open()
    }

    /// Hands a signal over, or drops it if too many wait.
    pub(crate) fn signal(&self, data: Box<RawValue>) {
        if self.inputs.try_send(Input::Signal(data)).is_err() {
            tracing::warn!("a signal is dropped: too many of this peer are waiting");
        }
    }

    /// Tells the link of new servers. They are for later, so in a hurry they can be left out.
    pub(crate) fn set_ice(&self, ice: Arc<IceSetup>) {
        let _ = self.inputs.try_send(Input::Ice(ice));
    }

    /// Tells the link that the local network is another one.
    pub(crate) fn handle_network_changed(&self) {
        let _ = self.inputs.try_send(Input::NetworkChanged);
    }

    /// The peer is to know where we sit now.
    pub(crate) fn tell_seat(&mut self, seat: &PeerId) {
        self.tell(Input::Claim(seat.clone()), None);
    }

    /// Both have seats again.
    pub(crate) fn seat(&mut self, roles: Roles) {
        (self.roles, self.is_seated) = (roles, true);
        self.claim = None;
        self.tell(Input::Seated(roles), Some(LeaveReason::Lost));
    }

    /// The peer has no seat any more, or we: the link ends once it isn't open, and then tells the
    /// program the reason, if there is one.
    pub(crate) fn unseat(&mut self, reason: Option<LeaveReason>) {
        self.is_seated = false;
        self.tell(Input::Unseated(reason), reason);
    }

    /// The peer has left the room: the link tells the program so, after all else, and ends.
    pub(crate) fn leave(&mut self, reason: LeaveReason) {
        self.end(Some(reason));
    }

    /// A link that is too busy to be told something that it must know ends.
    fn tell(&mut self, input: Input, reason: Option<LeaveReason>) {
        if self.inputs.try_send(input).is_err() {
            self.end(reason);
        }
    }

    fn end(&mut self, reason: Option<LeaveReason>) {
        if let Some(end) = self.end.take() {
            // If the link is gone, then because nobody reads the events any more.
            let _ = end.send(reason);
        }
    }
}
