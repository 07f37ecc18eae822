//! What a program asks of its room, on the way to the room's task.

use crate::Error;
use crate::place::Place;
use crate::platform::Boxed;
use serde_json::value::RawValue;
use signal_core::client::{History, Question, Recipients, Request};
use signal_core::{PeerId, Token};
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What a program asks for.
pub(crate) enum Command {
    Ask(Ask, oneshot::Sender<Result<(), Error>>),
    /// How and where to ask for what was said in the room.
    History {
        after: u64,
        limit: Option<usize>,
        answer: oneshot::Sender<Result<(Place, Question<History>), Error>>,
    },
    SetToken(Token, oneshot::Sender<Result<(), Error>>),
    /// Connect to the server at once.
    Retry,
}

/// What can be asked of the room; the task knows the host's term.
pub(crate) enum Ask {
    Broadcast { data: Box<RawValue>, to: To },
    State { value: Box<RawValue>, if_version: Option<u64> },
    Metadata(Box<RawValue>),
    Rules(Box<RawValue>),
    Host(PeerId),
    Kick { peer: PeerId, ban: bool },
}

/// To whom something is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum To {
    /// All members, the sender included.
    #[default]
    All,
    /// These others.
    Peers(Vec<PeerId>),
    /// The others whose tokens give them this role.
    Role(String),
}

impl Ask {
    pub(crate) fn request(&self, term: u64) -> Request<'_> {
        match self {
            Self::Broadcast { data, to } => {
                let to = match to {
                    To::All => Recipients::All,
                    To::Peers(peers) => Recipients::Peers(peers),
                    To::Role(role) => Recipients::Role(role),
                };
                Request::Broadcast { data, to }
            }
            Self::State { value, if_version } => Request::State { value, if_version: *if_version },
            Self::Metadata(metadata) => Request::Metadata(metadata),
            Self::Rules(rules) => Request::Rules { rules, term },
            Self::Host(to) => Request::Host { to, term },
            Self::Kick { peer, ban } => Request::Kick { peer, ban: *ban, term },
        }
    }
}

/// Where tokens come from: asked when the room is joined, and again before the token expires.
#[derive(Clone)]
pub struct TokenSource {
    ask: Arc<dyn Fn() -> Boxed<Option<Token>> + Send + Sync>,
}

impl TokenSource {
    /// Asks `ask` for a token; `None`: there is none at the moment.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Token>> + Send + 'static,
    {
        Self { ask: Arc::new(move || Box::pin(ask())) }
    }

    /// Asks `ask` for a token; `None`: there is none at the moment.
    #[cfg(target_arch = "wasm32")]
    pub fn new<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<Token>> + 'static,
    {
        Self { ask: Arc::new(move || Box::pin(ask())) }
    }

    pub(crate) fn ask(&self) -> Boxed<Option<Token>> {
        (self.ask)()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}
