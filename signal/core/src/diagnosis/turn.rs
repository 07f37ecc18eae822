//! What a relay refused, as itself or its clients tell it.

use super::wording::ago;
use super::{End, Finding, PATIENCE, Pair};
use crate::protocol::{IceError, Side, TurnReason, TurnRefusal, Verdict};
use std::time::Duration;

/// How much older than a link what was refused may be and still be its business: clients ask the
/// relay when they make a connection, before they speak of it.
const SLACK: Duration = Duration::from_secs(30);

/// The same for a link that nobody speaks of.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(600);

/// The verdicts in the order of their precedence.
const VERDICTS: [Verdict; 5] = [
    Verdict::TurnExpired,
    Verdict::TurnUnauthorized,
    Verdict::TurnQuota,
    Verdict::TurnNoCapacity,
    Verdict::TurnUnreachable,
];

/// Why an end that should have a relay has none.
///
/// Where an end may use nothing else this is certain at once; else only when it is time that the
/// link were there.
pub(super) fn refused(pair: &Pair<'_>) -> Option<Finding> {
    let is_due = pair.is_unknown() || pair.is_overdue();
    let found = pair.ends().map(|(_, end)| {
        let matters = is_due || end.lacks_its_only_way();
        if matters { why_without(end) } else { None }
    });
    VERDICTS.into_iter().find_map(|verdict| {
        let of = |at: usize| found[at].as_ref().filter(|(found, _)| *found == verdict);
        let (side, what) = match (of(0), of(1)) {
            (Some((_, what)), None) => (Side::Yours, what),
            (None, Some((_, what))) => (Side::Theirs, what),
            (Some((_, what)), Some(_)) => (Side::Both, what),
            (None, None) => return None,
        };
        Some(Finding::at(side, verdict, what.clone()))
    })
}

/// Whether a relay may not send to the other's addresses. Looked for last, and only if there is no
/// way: clients ask for each address of the other, private ones too, so in every healthy pair some
/// are refused.
pub(super) fn forbidden_peer(pair: &Pair<'_>) -> Option<Finding> {
    let has_way = |end: &End<'_>| {
        end.link.and_then(|link| link.checks).is_some_and(|checks| checks.answered > 0)
    };
    if pair.side_of(has_way).is_some() {
        return None;
    }
    let is_it =
        |end: &End<'_>| refusals(end).any(|refusal| refusal.reason == TurnReason::ForbiddenPeer);
    let side = pair.side_of(is_it)?;
    let what = "its relay may not send to the addresses of the other side";
    Some(Finding::at(side, Verdict::TurnForbiddenPeer, what))
}

/// What kept an end from having a relay: what the relay says goes before what its client saw.
fn why_without(end: &End<'_>) -> Option<(Verdict, String)> {
    if has_relay_now(end) {
        return None;
    }
    let of_relay = refusals(end).filter_map(of_refusal);
    let of_client = end.link.iter().flat_map(|link| &link.errors).filter_map(of_error);
    let all: Vec<_> = of_relay.chain(of_client).collect();
    let named = VERDICTS
        .into_iter()
        .find_map(|wanted| all.iter().find(|(verdict, _)| *verdict == wanted).cloned());
    let unreachable = (Verdict::TurnUnreachable, "no answer came from the TURN server".to_owned());
    named.or_else(|| still_waits(end).then_some(unreachable))
}

/// Whether its client has asked a TURN server long ago and still waits: not all clients say when
/// they give up.
fn still_waits(end: &End<'_>) -> bool {
    let is_late = end.lifetime().is_some_and(|lifetime| lifetime >= PATIENCE);
    let has_asked = end.has_turn && end.is(|link| link.offered);
    is_late && has_asked && end.is_not(|link| link.gathered)
}

/// Whether it has a relay at the moment. If the relay is our own it knows best: an address that
/// the client was given once may be gone. But it doesn't know of which link an allocation is; a
/// link that has gathered all and found none has none.
fn has_relay_now(end: &End<'_>) -> bool {
    let found = end.local().is_some_and(|local| local.relay > 0);
    let found_none = !found && end.local().is_some() && end.is(|link| link.gathered);
    match end.relay {
        Some(_) if found_none => false,
        Some(relay) => relay.allocations > 0 || (found && relay.refusals.is_empty()),
        None => found,
    }
}

/// What the relay refused while the link was made or there.
fn refusals<'a>(end: &End<'a>) -> impl Iterator<Item = &'a TurnRefusal> {
    let reach = end.lifetime().map_or(UNKNOWN_LIFETIME, |lifetime| lifetime.saturating_add(SLACK));
    let refusals = end.relay.into_iter().flat_map(|relay| &relay.refusals);
    refusals.filter(move |refusal| Duration::from_secs(refusal.ago_s) <= reach)
}

fn of_refusal(refusal: &TurnRefusal) -> Option<(Verdict, String)> {
    let when = ago(Duration::from_secs(refusal.ago_s));
    Some(match refusal.reason {
        TurnReason::Expired => {
            let expired = Duration::from_secs(refusal.expired_s.unwrap_or(refusal.ago_s));
            (Verdict::TurnExpired, format!("TURN credential expired {}", ago(expired)))
        }
        TurnReason::Revoked => {
            let what = format!("TURN credential was taken back; refused {when}");
            (Verdict::TurnUnauthorized, what)
        }
        TurnReason::Unauthorized => {
            (Verdict::TurnUnauthorized, format!("TURN password was wrong {when}"))
        }
        TurnReason::Quota => (Verdict::TurnQuota, format!("TURN quota was used up {when}")),
        TurnReason::NoCapacity => {
            (Verdict::TurnNoCapacity, format!("the relay had no capacity {when}"))
        }
        TurnReason::ForbiddenPeer | TurnReason::Family | TurnReason::Unknown => return None,
    })
}

/// Only what TURN servers said: one for STUN is missed by nobody who has a relay.
fn of_error(error: &IceError) -> Option<(Verdict, String)> {
    if !error.url.starts_with("turn") {
        return None;
    }
    let refused = || format!("the TURN server refused with {}", error.code);
    Some(match error.code {
        401 | 403 | 441 => (Verdict::TurnUnauthorized, refused()),
        486 => (Verdict::TurnQuota, refused()),
        508 => (Verdict::TurnNoCapacity, refused()),
        701 => (Verdict::TurnUnreachable, "the TURN server couldn't be reached".to_owned()),
        _ => return None,
    })
}
