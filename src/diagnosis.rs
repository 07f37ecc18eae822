//! What the relay knows of a pair, in the words of signaling: where a diagnosis meets both halves.

use relay_server::Relay;
use relay_server::relay_core::{RefusalInfo, RefusalReason, SeatInfo, SeatRecord};
use signal_server::{
    AskRelay, AtRelay, PairFacts, SeatAtRelay, SeatFacts, TurnReason, TurnRefusal,
};
use std::sync::{Arc, Weak};

/// Asks the relay, as long as there is one.
pub(crate) fn ask(relay: Weak<Relay>) -> AskRelay {
    AskRelay(Arc::new(move |facts| {
        let (relay, seats) = (relay.clone(), seats(facts));
        Box::pin(async move {
            // A worker that is busy or gone says nothing: the diagnosis does without.
            let records = relay.upgrade()?.seat_records(&seats).await.ok()?;
            let mut known = records.into_iter().map(known);
            Some(AtRelay { yours: known.next(), theirs: known.next() })
        })
    }))
}

/// Who asked, and the other, if it is there.
fn seats(facts: &PairFacts) -> Vec<SeatInfo> {
    let seat = |seat: &SeatFacts| SeatInfo {
        room: facts.room.to_string(),
        peer: seat.peer.to_string(),
        seat: seat.seat,
    };
    [Some(&facts.yours), facts.theirs.as_ref()].into_iter().flatten().map(seat).collect()
}

fn known(record: SeatRecord) -> SeatAtRelay {
    let SeatRecord { allocations, age, from_client, to_client, refusals } = record;
    SeatAtRelay {
        allocations,
        for_s: age.map(|age| age.as_secs()),
        from_client_bytes: from_client.bytes,
        to_client_bytes: to_client.bytes,
        refusals: refusals.into_iter().map(refusal).collect(),
    }
}

fn refusal(info: RefusalInfo) -> TurnRefusal {
    let RefusalInfo { reason, count, age, expired } = info;
    let reason = match reason {
        RefusalReason::Expired => TurnReason::Expired,
        RefusalReason::Revoked => TurnReason::Revoked,
        RefusalReason::Unauthorized => TurnReason::Unauthorized,
        RefusalReason::Quota => TurnReason::Quota,
        RefusalReason::NoCapacity => TurnReason::NoCapacity,
        RefusalReason::ForbiddenPeer => TurnReason::ForbiddenPeer,
        RefusalReason::Family => TurnReason::Family,
    };
    let expired_s = expired.map(|expired| expired.as_secs());
    TurnRefusal { reason, ago_s: age.as_secs(), count, expired_s }
}
