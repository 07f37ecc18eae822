//! What the edges count: refusals and closes. Written rarely, so all sessions share one set.

use crate::shard::SharedCounts;
use heliograph_base::Sample;
use signal_core::protocol::{CloseCode, ErrorCode, Verdict};
use signal_core::{Counts, End, PairState};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of all edges.
#[derive(Debug, Default)]
pub(crate) struct EdgeCounters {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    refusals: [AtomicU64; REFUSALS.len()],
    ends: [AtomicU64; ENDS.len()],
    verdicts: [AtomicU64; Verdict::ALL.len()],
}

const REFUSALS: [(ErrorCode, &str); 30] = [
    (ErrorCode::BadFrame, "bad_frame"),
    (ErrorCode::BinaryFrame, "binary_frame"),
    (ErrorCode::UnknownType, "unknown_type"),
    (ErrorCode::MissingField, "missing_field"),
    (ErrorCode::BadRoom, "bad_room"),
    (ErrorCode::BadMetadata, "bad_metadata"),
    (ErrorCode::HelloFirst, "hello_first"),
    (ErrorCode::AlreadyJoined, "already_joined"),
    (ErrorCode::NoSuchPeer, "no_such_peer"),
    (ErrorCode::RoomFull, "room_full"),
    (ErrorCode::ServerFull, "server_full"),
    (ErrorCode::Busy, "busy"),
    (ErrorCode::RateLimited, "rate_limited"),
    (ErrorCode::Unauthorized, "unauthorized"),
    (ErrorCode::Forbidden, "forbidden"),
    (ErrorCode::AuthUnavailable, "auth_unavailable"),
    (ErrorCode::PeerTaken, "peer_taken"),
    (ErrorCode::NoSuchSession, "no_such_session"),
    (ErrorCode::OutOfOrder, "out_of_order"),
    (ErrorCode::NoSuchRoom, "no_such_room"),
    (ErrorCode::RoomTaken, "room_taken"),
    (ErrorCode::RoomSealed, "room_sealed"),
    (ErrorCode::WrongPassword, "wrong_password"),
    (ErrorCode::Banned, "banned"),
    (ErrorCode::NotHost, "not_host"),
    (ErrorCode::OldTerm, "old_term"),
    (ErrorCode::Conflict, "conflict"),
    (ErrorCode::BadRules, "bad_rules"),
    (ErrorCode::BadTicket, "bad_ticket"),
    (ErrorCode::NoSuchTicket, "no_such_ticket"),
];

const ENDS: [(End, &str); 15] = [
    (End::Closed, "closed"),
    (End::Broken, "broken"),
    (End::Close(CloseCode::Normal), "left"),
    (End::Close(CloseCode::NotWebSocket), "not_websocket"),
    (End::Close(CloseCode::NotUtf8), "not_utf8"),
    (End::Close(CloseCode::TooBig), "too_big"),
    (End::Close(CloseCode::HelloTimeout), "hello_timeout"),
    (End::Close(CloseCode::SlowReader), "slow_reader"),
    (End::Close(CloseCode::Vanished), "vanished"),
    (End::Close(CloseCode::Shutdown), "shutdown"),
    (End::Close(CloseCode::Misbehaved), "misbehaved"),
    (End::Close(CloseCode::Superseded), "superseded"),
    (End::Close(CloseCode::Expired), "expired"),
    (End::Close(CloseCode::RoomClosed), "room_closed"),
    (End::Close(CloseCode::Kicked), "kicked"),
];

impl EdgeCounters {
    pub(crate) fn count_refusal(&self, code: ErrorCode) {
        count(&REFUSALS, &self.refusals, code);
    }

    pub(crate) fn count_verdict(&self, verdict: Verdict) {
        count(&Verdict::ALL.map(|it| (it, it.code())), &self.verdicts, verdict);
    }

    pub(crate) fn count_end(&self, end: End) {
        count(&ENDS, &self.ends, end);
    }

    /// All counters of the server.
    pub(crate) fn samples(&self, shards: &[SharedCounts]) -> Vec<Sample> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts: Vec<Counts> = shards.iter().map(SharedCounts::load).collect();
        let sum = |field: fn(&Counts) -> u64| counts.iter().map(field).sum();
        // `closed` first: a connection that ends in between must not make the difference negative.
        let closed = load(&self.closed);
        let open = load(&self.opened).saturating_sub(closed);
        let mut samples = vec![
            Sample::gauge("signal_connections_open", "Client connections there are.", open),
            Sample::gauge("signal_rooms", "Rooms with members.", sum(|counts| counts.rooms)),
            Sample::gauge("signal_members", "Members of all rooms.", sum(|counts| counts.members)),
            Sample::counter("signal_joins", "Seats given.", sum(|counts| counts.joins)),
            Sample::counter("signal_resumes", "Sessions resumed.", sum(|counts| counts.resumes)),
            Sample::counter(
                "signal_resyncs",
                "Of those, sessions that had lost something and were told the whole state.",
                sum(|counts| counts.resyncs),
            ),
            Sample::counter("signal_signals", "Signals passed on.", sum(|counts| counts.signals)),
            Sample::counter(
                "signal_broadcasts",
                "Broadcasts passed on.",
                sum(|counts| counts.broadcasts),
            ),
            Sample::counter(
                "signal_undelivered",
                "Signals that never reached their addressee, which the sender was told.",
                sum(|counts| counts.undelivered),
            ),
            Sample::counter(
                "signal_slow_members",
                "Sessions ended because too much was not acknowledged.",
                sum(|counts| counts.slow),
            ),
        ];
        let refusals = REFUSALS.iter().zip(&self.refusals).map(|((_, label), counter)| {
            Sample::counter("signal_refusals", "Frames answered with an error.", load(counter))
                .labelled("code", label)
        });
        let ends = ENDS.iter().zip(&self.ends).map(|((_, label), counter)| {
            Sample::counter("signal_connections_ended", "Connections that ended.", load(counter))
                .labelled("how", label)
        });
        let pairs = PairState::ALL.map(|state| {
            let sum = counts.iter().map(|counts| counts.pairs.get(state)).sum();
            Sample::gauge("pairs", "Pairs of members, as they report their links.", sum)
                .labelled("path", state.name())
        });
        let verdicts = Verdict::ALL.iter().zip(&self.verdicts).map(|(verdict, counter)| {
            Sample::counter("diagnoses", "Diagnoses of links.", load(counter))
                .labelled("verdict", verdict.code())
        });
        samples.extend(refusals.chain(ends).chain(pairs).chain(verdicts));
        samples
    }
}

fn count<T: Copy + PartialEq>(labels: &[(T, &str)], counters: &[AtomicU64], what: T) {
    if let Some(index) = labels.iter().position(|(label, _)| *label == what) {
        counters[index].fetch_add(1, Ordering::Relaxed);
    }
}
