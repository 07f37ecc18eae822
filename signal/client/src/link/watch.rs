//! What a link says of itself: to the program, and to the server.

use super::Word;
use super::attempt::Attempt;
use super::report::LinkFacts;
use super::task::Link;
use crate::config::{CONNECT_TIMEOUT, LOSS_CHECKS_MIN, MEASURE_INTERVAL, REPORT_INTERVAL};
use crate::inbox::Closed;
use crate::platform::now;
use crate::{Event, Stats};
use signal_core::protocol::{self, Candidates, Checks, DtlsState, LinkState};
use tokio::sync::oneshot;

impl Link {
    pub(super) async fn answer_stats(&self, asked: oneshot::Sender<Stats>) {
        let Some(attempt) = &self.attempt else { return };
        let Some(path) = attempt.connection.path().await else { return };
        let measures = attempt.connection.measures().await;
        let peer = &self.setting.peer;
        // Who asked may have gone on.
        let _ = asked.send(Stats {
            path,
            round_trip: measures.round_trip,
            loss: loss(self.checks_before, measures.checks),
            bytes_sent: measures.bytes_sent,
            bytes_received: measures.bytes_received,
            restarts: self.restarts,
            connected_in: attempt.facts.connected_in,
            reliable: peer.reliable().counts(),
            lossy: peer.lossy().counts(),
        });
    }

    /// Tells the program if the packets take another way than before.
    pub(super) async fn look_at_path(&mut self) -> Result<(), Closed> {
        self.measure = self.is_connected.then(|| now() + MEASURE_INTERVAL);
        let Some(attempt) = self.attempt.as_ref().filter(|_| self.is_connected) else {
            return Ok(());
        };
        let path = attempt.connection.path().await;
        if path.is_none() || path == self.path {
            return Ok(());
        }
        self.path = path;
        self.schedule_report();
        match path {
            Some(path) => {
                let peer = self.setting.peer.clone();
                self.setting.config.inbox.push(Event::PathChanged { peer, path })
            }
            None => Ok(()),
        }
    }

    /// The server is told soon how the link is, but not too often.
    pub(super) fn schedule_report(&mut self) {
        let due = now().max(self.reported + REPORT_INTERVAL);
        self.report.get_or_insert(due);
    }

    pub(super) async fn send_report(&mut self) -> Result<(), Closed> {
        self.report = None;
        self.reported = now();
        let Some(attempt) = &self.attempt else {
            let report = Box::new(without_connection(self.ice.relay_only));
            return self.say(Word::Report { from: self.setting.number, report }).await;
        };
        let measures = attempt.connection.measures().await;
        let facts = LinkFacts {
            relay_only: self.ice.relay_only,
            restarts: self.restarts,
            path: self.path.filter(|_| self.is_connected),
            round_trip: measures.round_trip,
            checks: measures.checks,
            dtls: self.dtls(attempt, measures.dtls).await,
        };
        let report = Box::new(attempt.facts.report(now(), &facts));
        self.say(Word::Report { from: self.setting.number, report }).await
    }

    /// How far the encryption is. Crate `webrtc` only says that it is there: where there has been a
    /// way for long, and no more, it has failed.
    async fn dtls(&self, attempt: &Attempt, said: Option<DtlsState>) -> Option<DtlsState> {
        let is_known = said.is_some() || attempt.facts.was_connected;
        if is_known || attempt.connection.path().await.is_none() {
            return said;
        }
        let is_late = attempt.facts.age(now()) >= CONNECT_TIMEOUT;
        Some(if is_late { DtlsState::Failed } else { DtlsState::Connecting })
    }
}

/// What is said of a link for which this machine couldn't even open a connection.
fn without_connection(relay_only: bool) -> protocol::Link {
    protocol::Link {
        state: Some(LinkState::Failed),
        relay_only: Some(relay_only),
        local: Some(Candidates::default()),
        gathered: Some(true),
        ..protocol::Link::default()
    }
}

/// The share of checks that were not answered since.
fn loss(before: Checks, now: Checks) -> Option<f32> {
    let sent = now.sent.saturating_sub(before.sent);
    let answered = now.answered.saturating_sub(before.answered).min(sent);
    // The last one may be on its way.
    (sent > LOSS_CHECKS_MIN).then(|| 1.0 - (answered + 1).min(sent) as f32 / sent as f32)
}
