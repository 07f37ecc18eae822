//! What is known of the room beside its members, and what the server was asked for.

use crate::{Diagnosis, Error};
use serde_json::Value;
use signal_core::PeerId;
use signal_core::client::{Refusal, RoomEvent, RoomState, Seat, VersionedState};
use signal_core::protocol::Rules;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What is known of the room, for the program at any time.
#[derive(Debug, Default)]
pub(crate) struct Known {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What the others are told about this client.
    metadata: Value,
    role: Option<String>,
    host: Option<PeerId>,
    term: Option<u64>,
    rules: Option<Rules>,
    state: Option<RoomState>,
}

impl Known {
    pub(crate) fn role(&self) -> Option<String> {
        self.lock().role.clone()
    }

    pub(crate) fn host(&self) -> Option<PeerId> {
        self.lock().host.clone()
    }

    pub(crate) fn term(&self) -> Option<u64> {
        self.lock().term
    }

    pub(crate) fn rules(&self) -> Option<Rules> {
        self.lock().rules
    }

    pub(crate) fn state(&self) -> Option<RoomState> {
        self.lock().state.clone()
    }

    pub(crate) fn metadata(&self) -> Value {
        self.lock().metadata.clone()
    }

    pub(crate) fn set_metadata(&self, metadata: Value) {
        self.lock().metadata = metadata;
    }

    /// This is the seat now, and the room.
    pub(crate) fn sit_down(&self, seat: &Seat) {
        let about = seat.about.as_deref();
        let mut inner = self.lock();
        *inner = Inner {
            metadata: std::mem::take(&mut inner.metadata),
            role: seat.role.clone(),
            host: about.and_then(|about| about.host.clone()),
            term: about.and_then(|about| about.term),
            rules: about.map(|about| about.rules),
            state: about.and_then(|about| about.state.as_ref()).map(RoomState::from),
        };
    }

    /// This happened in it.
    pub(crate) fn note(&self, event: &RoomEvent) {
        let mut inner = self.lock();
        match event {
            RoomEvent::Host { peer, term } => {
                inner.host.clone_from(peer);
                inner.term = Some(*term);
            }
            RoomEvent::State { version, value, .. } => {
                let (version, value) = (*version, value.clone());
                inner.state = Some((&VersionedState { version, value }).into());
            }
            RoomEvent::Rules(rules) => inner.rules = Some(*rules),
            RoomEvent::Metadata { .. } | RoomEvent::Broadcast { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server was asked for, by number. The session bounds how much that can be.
#[derive(Debug, Default)]
pub(super) struct Asked {
    requests: BTreeMap<u64, oneshot::Sender<Result<(), Error>>>,
    tokens: BTreeMap<u64, oneshot::Sender<Result<(), Error>>>,
    diagnoses: BTreeMap<u64, oneshot::Sender<Diagnosis>>,
}

impl Asked {
    pub(super) fn add(&mut self, id: u64, answer: oneshot::Sender<Result<(), Error>>) {
        self.requests.insert(id, answer);
    }

    pub(super) fn add_token(&mut self, id: u64, answer: oneshot::Sender<Result<(), Error>>) {
        self.tokens.insert(id, answer);
    }

    pub(super) fn add_diagnosis(&mut self, id: u64, answer: oneshot::Sender<Diagnosis>) {
        // Who doesn't wait any more needs no answer.
        self.diagnoses.retain(|_, answer| !answer.is_closed());
        self.diagnoses.insert(id, answer);
    }

    /// All up to this number is carried out, but for what was refused before.
    pub(super) fn handle_done(&mut self, up_to: u64) {
        let later = self.requests.split_off(&(up_to + 1));
        for answer in std::mem::replace(&mut self.requests, later).into_values() {
            let _ = answer.send(Ok(()));
        }
    }

    /// The token of this number is taken, and makes up for those before it.
    pub(super) fn handle_token_taken(&mut self, id: u64) {
        let later = self.tokens.split_off(&(id + 1));
        for answer in std::mem::replace(&mut self.tokens, later).into_values() {
            let _ = answer.send(Ok(()));
        }
    }

    /// This was refused; whether somebody has asked for it.
    pub(super) fn handle_refused(&mut self, refusal: Refusal) {
        let Some(id) = refusal.id else { return };
        if let Some(answer) = self.requests.remove(&id).or_else(|| self.tokens.remove(&id)) {
            let _ = answer.send(Err(refusal.into()));
        }
        // Who asked for a diagnosis makes do with its own.
        self.diagnoses.remove(&id);
    }

    pub(super) fn handle_diagnosed(&mut self, diagnosis: Diagnosis) {
        let answer = diagnosis.id.and_then(|id| self.diagnoses.remove(&id));
        if let Some(answer) = answer {
            let _ = answer.send(diagnosis);
        }
    }

    /// Another session was got with the newest token, and knows nothing of all else.
    pub(super) fn handle_joined(&mut self) {
        for answer in std::mem::take(&mut self.tokens).into_values() {
            let _ = answer.send(Ok(()));
        }
        self.handle_session_over();
    }

    /// Another session knows nothing of it.
    pub(super) fn handle_session_over(&mut self) {
        // The senders' ends say so.
        *self = Self::default();
    }

    /// The connection is lost: what isn't numbered isn't answered.
    pub(super) fn handle_lost(&mut self) {
        self.diagnoses.clear();
    }
}
