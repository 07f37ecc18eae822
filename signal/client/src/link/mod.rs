//! The link to one peer: a task that negotiates its connection, watches over it and moves its
//! messages.
//!
//! - [`task`]: the task itself; [`negotiation`]: what to do with each signal, without IO;
//! - [`path`]: which way the packets take; [`signal`]: what the peers tell each other;
//! - the connection itself is the platform's: what it takes and says is here.

mod negotiation;
mod path;
mod pump;
mod signal;
mod task;

pub use path::{CandidateType, Path};
pub(crate) use signal::{Candidate, Description, Fingerprint, Kind};

use crate::config::LINK_INPUTS_MAX;
use crate::inbox::Inbox;
use crate::platform::{Connector, Task, spawn};
use crate::{Data, Peer, Stats};
use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;
use signal_core::protocol::{IceServer, LeaveReason};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

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

/// What a connection says.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A local candidate was found.
    Candidate(Candidate),
    /// No more local candidates follow.
    Gathered,
    /// The connection is in another state.
    State(ConnectionState),
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
}

/// Connectivity checks of all pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) sent: u64,
    /// Answers that came.
    pub(crate) answered: u64,
    /// Checks that came.
    pub(crate) heard: u64,
}

/// Where a connection says what happens. Never waits.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    inputs: mpsc::Sender<Input>,
}

impl Notices {
    pub(crate) fn notify(&self, notice: Notice) {
        if self.inputs.try_send(Input::Notice(notice)).is_err() {
            tracing::warn!("a notice of the connection is lost: its link is gone or overloaded");
        }
    }
}

/// What a link has to deal with.
#[derive(Debug)]
pub(crate) enum Input {
    /// The peer sent this.
    Signal(Box<RawValue>),
    /// The connection says this.
    Notice(Notice),
    /// A default channel is open, or not any more.
    Channel { id: u16, is_open: bool },
    /// From now on these are the servers.
    Ice(Arc<IceSetup>),
    /// The peer has lost its seat, or we ours: the link goes on as long as it is open. Why, if the
    /// program is to be told at its end.
    Unseated(Option<LeaveReason>),
    /// Another link to the same peer is open.
    Replaced,
    /// The program wants to know how the connection is doing.
    Stats(oneshot::Sender<Stats>),
}

/// What a link tells its room.
#[derive(Debug)]
pub(crate) enum Word {
    /// This is to go to the peer.
    Signal {
        /// The link's number.
        from: u64,
        to: Peer,
        data: Box<RawValue>,
    },
    /// It is open, to somebody with this certificate.
    Connected {
        /// The link's number.
        from: u64,
        fingerprint: Fingerprint,
    },
}

/// What a link is given.
pub(crate) struct LinkConfig {
    pub(crate) peer: Peer,
    pub(crate) offers: bool,
    pub(crate) polite: bool,
    pub(crate) connector: Connector,
    pub(crate) ice: Arc<IceSetup>,
    pub(crate) words: mpsc::Sender<Word>,
    pub(crate) inbox: Arc<Inbox>,
}

/// The queue of a link: its end for connections and for the program, and its own.
pub(crate) fn inputs() -> (Notices, mpsc::Receiver<Input>) {
    let (inputs, received) = mpsc::channel(LINK_INPUTS_MAX);
    (Notices { inputs }, received)
}

/// The room's end of a link. Dropped, the link closes its connection and its task ends.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    number: u64,
    peer: Peer,
    /// Whether the program was told that the peer is away.
    pub(crate) is_away: bool,
    inputs: mpsc::Sender<Input>,
    end: oneshot::Sender<Option<LeaveReason>>,
    /// What the program is to be told at the end of a link whose peer has no seat any more.
    farewell: Option<LeaveReason>,
    /// The peer's certificate, once it is known.
    fingerprint: watch::Receiver<Option<Fingerprint>>,
}

impl LinkHandle {
    /// Starts a link as a task of `tasks`, which gives its number at its end.
    pub(crate) fn spawn(
        number: u64,
        config: LinkConfig,
        tasks: &FuturesUnordered<Task<u64>>,
    ) -> Self {
        let (notices, received) = inputs();
        let (end, ending) = oneshot::channel();
        let (known, fingerprint) = watch::channel(None);
        let peer = config.peer.clone();
        let inputs = notices.inputs.clone();
        peer.set_link(inputs.clone());
        let task = task::Start { number, config, known, notices, inputs: received };
        tasks.push(spawn(async move {
            task.run(ending).await;
            number
        }));
        Self { number, peer, is_away: false, inputs, end, farewell: None, fingerprint }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint.borrow().clone()
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

    /// The peer has left the room: the link tells the program so, after all else, and ends.
    pub(crate) fn leave(self, reason: LeaveReason) {
        // If the link is gone, then because nobody reads the events any more.
        let _ = self.end.send(Some(reason));
    }

    /// The peer has no seat any more: the link ends once it isn't open, and then tells the program
    /// the reason, if there is one. None if it is too busy to wait for that.
    pub(crate) fn unseat(mut self, reason: Option<LeaveReason>) -> Option<Self> {
        self.farewell = reason;
        match self.inputs.try_send(Input::Unseated(reason)) {
            Ok(()) => Some(self),
            Err(_) => {
                self.end();
                None
            }
        }
    }

    /// There is a new link to the same peer: this one ends soon, but not before the other side has
    /// the new one too.
    pub(crate) fn replace(&self) {
        // If it is too busy, it goes on until the other side ends it.
        let _ = self.inputs.try_send(Input::Replaced);
    }

    /// Ends the link of a peer that has no seat any more.
    fn end(self) {
        let _ = self.end.send(self.farewell);
    }
}
