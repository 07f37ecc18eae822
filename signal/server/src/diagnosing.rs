//! A diagnosis on its way: the facts come from the shard, then the relay is asked, then it is
//! worked out; meanwhile the connection goes on.

use crate::edges::Ties;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use signal_core::protocol::{AtRelay, Diagnosis, ServerFrame};
use signal_core::{Event, FrameText, Numbered, PairFacts, diagnose};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::timeout;

/// Finds out what a relay knows of both seats of a pair; nothing if it can't say.
#[derive(Clone)]
pub struct AskRelay(pub Arc<dyn Fn(&PairFacts) -> Asking + Send + Sync>);

/// A relay that is being asked.
pub type Asking = BoxFuture<'static, Option<AtRelay>>;

impl fmt::Debug for AskRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskRelay").finish_non_exhaustive()
    }
}

/// The diagnoses that one client waits for: as many as it may ask for in the time that a relay has
/// to answer.
#[derive(Debug, Default)]
pub(crate) struct Diagnosing(FuturesUnordered<BoxFuture<'static, Diagnosis>>);

impl Ties {
    /// Takes the facts of a pair; the diagnosis follows.
    pub(crate) fn handle_facts(&mut self, facts: PairFacts) {
        let config = &self.edges.config;
        let (ask, limit) = (config.ask_relay.clone(), config.relay_answer_timeout);
        let diagnosis = async move {
            let relay = match ask {
                Some(AskRelay(ask)) => timeout(limit, ask(&facts)).await.ok().flatten(),
                None => None,
            };
            diagnose(facts, relay)
        };
        self.diagnosing.get_or_insert_default().0.push(diagnosis.boxed());
    }

    /// The next diagnosis that is worked out, as what the client is told; none if none is under
    /// way.
    pub(crate) fn poll_diagnosis(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some(diagnosing) = &mut self.diagnosing else { return Poll::Ready(None) };
        diagnosing.0.poll_next_unpin(cx).map(|diagnosis| {
            let Some(diagnosis) = diagnosis else {
                self.diagnosing = None;
                return None;
            };
            self.edges.counters.count_verdict(diagnosis.verdict);
            let frame = FrameText::encode(&ServerFrame::Diagnosis(Box::new(diagnosis)));
            Some(Event::Frame(Numbered { seq: None, ack: None, frame }))
        })
    }
}
