//! Each verdict is provoked by its facts, and the more certain reason goes before the others.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::value::RawValue;
use signal_core::protocol::{AtRelay, Diagnosis, Link, SeatAtRelay, Side, Verdict};
use signal_core::{Metadata, PairFacts, PeerId, RoomId, SeatFacts, diagnose};
use std::time::Duration;

/// A pair of whom both know a TURN server and neither has said anything.
fn facts() -> PairFacts {
    let seat = |peer: &str, seat| SeatFacts {
        peer: PeerId::parse(peer).unwrap(),
        seat,
        away: None,
        has_turn: true,
        report: None,
    };
    PairFacts {
        id: Some(7),
        room: RoomId::parse("demo").unwrap(),
        peer: PeerId::parse("p2").unwrap(),
        metadata: metadata(r#"{"name":"bob"}"#),
        yours: seat("p1", 1),
        theirs: Some(seat("p2", 2)),
    }
}

fn metadata(text: &str) -> Option<Metadata> {
    let raw = RawValue::from_string(text.to_owned()).unwrap();
    Some(Metadata::new(Some(&raw), 1024).unwrap())
}

fn link(text: &str) -> Link {
    Link::read(text, 2048).unwrap()
}

fn seat(text: &str) -> SeatAtRelay {
    serde_json::from_str(text).unwrap()
}

/// What is known in a case, as its reports and the relay's view; `-` is nothing.
#[derive(Clone, Copy)]
struct Case {
    yours: &'static str,
    theirs: &'static str,
    at_relay: [&'static str; 2],
}

/// A case of which only reports are known.
const fn reports(yours: &'static str, theirs: &'static str) -> Case {
    Case { yours, theirs, at_relay: ["-", "-"] }
}

impl Case {
    const fn at_relay(self, yours: &'static str, theirs: &'static str) -> Self {
        Self { at_relay: [yours, theirs], ..self }
    }

    /// The same case as the other side sees it.
    const fn mirrored(self) -> Self {
        let [yours, theirs] = self.at_relay;
        Self { yours: self.theirs, theirs: self.yours, at_relay: [theirs, yours] }
    }

    fn diagnose(self, change: impl FnOnce(&mut PairFacts)) -> Diagnosis {
        let mut facts = facts();
        let report = |text: &str| (text != "-").then(|| (Duration::from_secs(1), link(text)));
        facts.yours.report = report(self.yours);
        facts.theirs.as_mut().unwrap().report = report(self.theirs);
        change(&mut facts);
        let known = |text: &str| (text != "-").then(|| seat(text));
        let [yours, theirs] = self.at_relay.map(known);
        let relay = (self.at_relay != ["-", "-"]).then_some(AtRelay { yours, theirs });
        diagnose(facts, relay)
    }

    #[track_caller]
    fn says(self, verdict: Verdict, side: Option<Side>, text: &str) {
        let found = self.diagnose(|_| {});
        assert_eq!((found.verdict, found.side, &*found.text), (verdict, side, text));
        let is_fine = matches!(verdict, Verdict::ConnectedDirect | Verdict::ConnectedRelayed);
        assert_eq!(found.advice.is_empty(), is_fine, "{}", found.advice);
    }

    /// The verdict, and the same of the other side of who asks from there.
    #[track_caller]
    fn says_of(self, verdict: Verdict, side: Side, what: &str) {
        let mirrored = match side {
            Side::Yours => Side::Theirs,
            Side::Theirs => Side::Yours,
            Side::Both => Side::Both,
        };
        for (case, side) in [(self, side), (self.mirrored(), mirrored)] {
            let who = match side {
                Side::Yours => "this side",
                Side::Theirs => "bob",
                Side::Both => "both sides",
            };
            case.says(verdict, Some(side), &format!("{who}: {what}"));
        }
    }
}

const FAILED: &str = r#"{"state":"failed","for_s":20,"offered":true,"answered":true,
    "local":{"host":1},"remote":{"host":1},"checks":{"sent":40}}"#;

const NOTHING: &str = r#"{"allocations":0}"#;

const EXPIRED: &str = r#"{"refusals":[{"reason":"expired","ago_s":3,"count":2,"expired_s":840}]}"#;

#[test]
fn a_connected_pair_is_told_its_way() {
    let direct = r#"{"state":"connected","path":{"kind":"direct","local":"host",
        "remote":"srflx","protocol":"udp","rtt_ms":1.2}}"#;
    let text = "connected with bob directly (UDP, host to srflx, 1 ms)";
    reports(direct, "-").says(Verdict::ConnectedDirect, None, text);
    // Who says nothing itself is told what the other says.
    reports("-", direct).says(Verdict::ConnectedDirect, None, text);
    let relayed = r#"{"state":"connected","path":{"kind":"relayed"}}"#;
    let text = "connected with bob by a relay";
    reports(relayed, FAILED).says(Verdict::ConnectedRelayed, None, text);
    let vague = r#"{"state":"connected"}"#;
    reports(vague, relayed).says(Verdict::ConnectedRelayed, None, text);
    let text = "connected with bob; which way isn't reported";
    reports(vague, "-").says(Verdict::ConnectedDirect, None, text);
}

#[test]
fn an_open_link_outlives_the_seat_of_the_other() {
    let connected = r#"{"state":"connected","path":{"kind":"direct"}}"#;
    let found = reports(connected, "-").diagnose(|facts| facts.theirs = None);
    assert_eq!(found.verdict, Verdict::ConnectedDirect);
}

#[test]
fn who_is_gone_or_away_is_named_first() {
    let case = reports(FAILED, FAILED).at_relay("-", EXPIRED);
    let found = case.diagnose(|facts| {
        facts.theirs = None;
        facts.metadata = None;
    });
    assert_eq!((found.verdict, found.side), (Verdict::PeerLeft, Some(Side::Theirs)));
    assert_eq!(found.text, "p2: isn't in the room (any more)");
    let found = case.diagnose(|facts| {
        facts.theirs.as_mut().unwrap().away = Some(Duration::from_secs(12));
    });
    assert_eq!((found.verdict, found.side), (Verdict::PeerAway, Some(Side::Theirs)));
    assert_eq!(found.text, "bob: lost its connection to the server 12 s ago");
}

#[test]
fn who_said_first_that_it_is_closed_has_closed_it() {
    const CLOSED: &str = r#"{"state":"closed"}"#;
    let text = "bob: closed the connection just now";
    reports(FAILED, CLOSED).says(Verdict::ClosedByPeer, Some(Side::Theirs), text);
    let text = "this side: closed the connection";
    reports(CLOSED, FAILED).says(Verdict::ClosedByYou, Some(Side::Yours), text);
    let at = |yours, theirs| {
        let found = reports(CLOSED, CLOSED).diagnose(|facts| {
            facts.yours.report.as_mut().unwrap().0 = Duration::from_secs(yours);
            facts.theirs.as_mut().unwrap().report.as_mut().unwrap().0 = Duration::from_secs(theirs);
        });
        found.text
    };
    assert_eq!(at(9, 10), "bob: closed the connection 10 s ago");
    assert_eq!(at(10, 9), "this side: closed the connection");
    // Clients close what can't be secured.
    let failed = r#"{"state":"closed","dtls":"failed"}"#;
    let text = "bob: a way was found, but the DTLS handshake failed";
    reports(FAILED, failed).says(Verdict::DtlsFailed, Some(Side::Theirs), text);
}

#[test]
fn an_expired_credential_is_named_with_its_age_and_its_owner() {
    let what = "TURN credential expired 14 min ago";
    let case = reports(FAILED, FAILED).at_relay(NOTHING, EXPIRED);
    case.says_of(Verdict::TurnExpired, Side::Theirs, what);
    let both = reports(FAILED, FAILED).at_relay(EXPIRED, EXPIRED);
    both.says_of(Verdict::TurnExpired, Side::Both, what);
    // A foreign client says nothing, but the relay knows.
    reports("-", "-").at_relay("-", EXPIRED).says_of(Verdict::TurnExpired, Side::Theirs, what);
}

#[test]
fn what_was_refused_before_the_link_began_isnt_its_business() {
    let old = r#"{"refusals":[{"reason":"quota","ago_s":60,"count":1}]}"#;
    let found = reports(FAILED, FAILED).at_relay(old, NOTHING).diagnose(|_| {});
    assert_eq!(found.verdict, Verdict::ChecksUnanswered);
}

#[test]
fn who_has_an_allocation_is_refused_no_more() {
    let has = r#"{"allocations":1,"refusals":[{"reason":"quota","ago_s":3,"count":1}]}"#;
    let found = reports(FAILED, FAILED).at_relay(has, NOTHING).diagnose(|_| {});
    assert_eq!(found.verdict, Verdict::ChecksUnanswered);
}

#[test]
fn allocations_of_other_links_are_none_of_a_link_that_found_no_relay() {
    let has = r#"{"allocations":3,"refusals":[{"reason":"quota","ago_s":3,"count":1}]}"#;
    let none = r#"{"state":"failed","for_s":20,"gathered":true,"local":{"host":1}}"#;
    let case = reports(FAILED, none).at_relay(NOTHING, has);
    case.says_of(Verdict::TurnQuota, Side::Theirs, "TURN quota was used up 3 s ago");
}

#[test]
fn a_turn_server_that_lets_its_client_wait_did_not_answer() {
    let what = "no answer came from the TURN server";
    let waits = r#"{"state":"failed","for_s":20,"offered":true,"gathered":false,"local":{}}"#;
    reports(FAILED, waits).says_of(Verdict::TurnUnreachable, Side::Theirs, what);
    let case = reports(FAILED, waits).at_relay("-", EXPIRED);
    case.says_of(Verdict::TurnExpired, Side::Theirs, "TURN credential expired 14 min ago");
    // It was only just asked then, or never, or there is none.
    let early = r#"{"state":"connecting","for_s":1,"offered":true,"gathered":false,"local":{}}"#;
    let found = reports(FAILED, early).diagnose(|facts| {
        facts.theirs.as_mut().unwrap().report = Some((Duration::from_secs(20), link(early)));
    });
    assert_ne!(found.verdict, Verdict::TurnUnreachable);
    let idle = r#"{"state":"failed","for_s":20,"offered":false,"gathered":false,"local":{}}"#;
    let found = reports(FAILED, idle).diagnose(|_| {});
    assert_ne!(found.verdict, Verdict::TurnUnreachable);
    let found =
        reports(FAILED, waits).diagnose(|facts| facts.theirs.as_mut().unwrap().has_turn = false);
    assert_ne!(found.verdict, Verdict::TurnUnreachable);
}

#[test]
fn each_refusal_of_the_relay_has_its_verdict() {
    for (reason, verdict, what) in [
        ("revoked", Verdict::TurnUnauthorized, "TURN credential was taken back; refused 3 s ago"),
        ("unauthorized", Verdict::TurnUnauthorized, "TURN password was wrong 3 s ago"),
        ("quota", Verdict::TurnQuota, "TURN quota was used up 3 s ago"),
        ("no_capacity", Verdict::TurnNoCapacity, "the relay had no capacity 3 s ago"),
    ] {
        let text = format!(r#"{{"refusals":[{{"reason":"{reason}","ago_s":3,"count":1}}]}}"#);
        let refused: &'static str = text.leak();
        let case = reports(FAILED, FAILED).at_relay(NOTHING, refused);
        case.says_of(verdict, Side::Theirs, what);
    }
}

#[test]
fn what_clients_heard_of_turn_servers_of_others_counts_too() {
    for (code, verdict, what) in [
        (401, Verdict::TurnUnauthorized, "the TURN server refused with 401"),
        (486, Verdict::TurnQuota, "the TURN server refused with 486"),
        (508, Verdict::TurnNoCapacity, "the TURN server refused with 508"),
        (701, Verdict::TurnUnreachable, "the TURN server couldn't be reached"),
    ] {
        let error = |url| {
            let text = format!(
                r#"{{"state":"failed","for_s":20,"errors":[{{"url":"{url}","code":{code}}}]}}"#
            );
            &*text.leak()
        };
        reports(FAILED, error("turn:a")).says_of(verdict, Side::Theirs, what);
        let found = reports(FAILED, error("stun:a")).diagnose(|_| {});
        assert_eq!(found.verdict, Verdict::ChecksUnanswered, "STUN isn't TURN");
    }
}

#[test]
fn of_several_refusals_the_first_cause_is_named() {
    let unreachable: &str =
        r#"{"state":"failed","for_s":20,"errors":[{"url":"turn:a","code":701}]}"#;
    let case = reports(unreachable, FAILED).at_relay("-", EXPIRED);
    case.says_of(Verdict::TurnExpired, Side::Theirs, "TURN credential expired 14 min ago");
}

#[test]
fn relay_only_is_certain_as_soon_as_no_relay_can_come() {
    let what = "may only use a relay, but has none";
    let new = r#"{"state":"connecting","for_s":1,"relay_only":true}"#;
    let done = r#"{"state":"connecting","for_s":1,"relay_only":true,"gathered":true}"#;
    let waits = r#"{"state":"connecting","for_s":1}"#;
    let verdict = Verdict::RelayOnlyWithoutRelay;
    reports(done, waits).says_of(verdict, Side::Yours, what);
    let text = "the connection to bob is only being made, for 2 s now";
    reports(new, waits).says(Verdict::Connecting, None, text);
    let found = reports(new, waits).diagnose(|facts| facts.yours.has_turn = false);
    assert_eq!((found.verdict, found.side), (verdict, Some(Side::Yours)));
    // Why it has none is known at once too.
    let case = reports(new, waits).at_relay(EXPIRED, "-");
    case.says_of(Verdict::TurnExpired, Side::Yours, "TURN credential expired 14 min ago");
}

#[test]
fn it_is_too_early_to_say_at_first() {
    let new = r#"{"state":"connecting","for_s":2,"answered":false,"remote":{}}"#;
    let text = "the connection to bob is only being made, for 3 s now";
    reports(new, "-").says(Verdict::Connecting, None, text);
    // Not every refusal matters: another way may be found.
    reports(new, "-").at_relay(EXPIRED, "-").says(Verdict::Connecting, None, text);
    let text = "neither side has reported on the link to bob yet";
    reports("-", "-").says(Verdict::Connecting, None, text);
    let later = r#"{"state":"connecting","for_s":8,"offered":true,"answered":true}"#;
    let text = "no way to bob was found yet, for 9 s now";
    reports(later, "-").says(Verdict::Connecting, None, text);
}

#[test]
fn who_never_sent_a_description_is_silent() {
    let what = "never sent a description";
    let asks = r#"{"state":"connecting","for_s":8,"offered":true,"answered":false}"#;
    let mute = r#"{"state":"connecting","for_s":8,"offered":false,"answered":true}"#;
    reports(asks, mute).says_of(Verdict::PeerSilent, Side::Theirs, what);
    let text = "bob: never sent a description";
    reports(asks, "-").says(Verdict::PeerSilent, Some(Side::Theirs), text);
    let deaf = r#"{"state":"connecting","for_s":8,"offered":true,"answered":false}"#;
    let spoke = r#"{"state":"connecting","for_s":8,"offered":true,"answered":true}"#;
    let what = "a description was sent to it, but it never applied it";
    reports(deaf, spoke).says_of(Verdict::PeerSilent, Side::Yours, what);
    // What hadn't happened when the other spoke last may have since.
    let early = r#"{"state":"connecting","for_s":1,"offered":true,"answered":false}"#;
    let found = reports(FAILED, early).diagnose(|_| {});
    assert_eq!(found.verdict, Verdict::ChecksUnanswered);
}

#[test]
fn who_has_no_candidates_is_named() {
    let none = r#"{"state":"failed","answered":true,"local":{},"remote":{"host":1}}"#;
    let text = "this side: found no candidates, not even an address of its own";
    reports(none, "-").says(Verdict::NoLocalCandidates, Some(Side::Yours), text);
    let alone = r#"{"state":"failed","answered":true,"local":{"host":1},"remote":{}}"#;
    let verdict = Verdict::NoCandidatesFromPeer;
    let text = "bob: never sent candidates";
    reports(alone, "-").says(verdict, Some(Side::Theirs), text);
    let text = "bob: found no candidates, so it sent none";
    reports(alone, none).says(verdict, Some(Side::Theirs), text);
    let text = "bob: found 1 candidates, but none of them came";
    reports(alone, FAILED).says(verdict, Some(Side::Theirs), text);
}

#[test]
fn two_symmetric_nats_need_a_relay() {
    let symmetric = r#"{"state":"failed","answered":true,"mapping":"varies"}"#;
    let text = "both behind symmetric NAT and neither got a relay";
    let verdict = Verdict::BothSymmetricNoRelay;
    reports(symmetric, symmetric).says(verdict, None, text);
    let found = reports(symmetric, symmetric).diagnose(|facts| {
        facts.yours.has_turn = false;
        facts.theirs.as_mut().unwrap().has_turn = false;
    });
    assert_eq!(found.text, "both behind symmetric NAT and no relay offered");
    let relay = r#"{"state":"failed","answered":true,"mapping":"varies","local":{"relay":1}}"#;
    for (one, other) in [(relay, symmetric), (symmetric, relay), (symmetric, FAILED)] {
        let found = reports(one, other).diagnose(|_| {});
        assert_eq!(found.verdict, Verdict::ChecksUnanswered);
    }
}

#[test]
fn without_a_relay_and_a_direct_way_a_relay_is_missing() {
    let without = |facts: &mut PairFacts| {
        facts.yours.has_turn = false;
        facts.theirs.as_mut().unwrap().has_turn = false;
    };
    let found = reports(FAILED, FAILED).diagnose(without);
    assert_eq!((found.verdict, found.side), (Verdict::NoRelayOffered, None));
    assert_eq!(found.text, "no direct way to bob was found, and no relay is offered");
    let found = reports(FAILED, FAILED).diagnose(|facts| facts.yours.has_turn = false);
    assert_eq!(found.verdict, Verdict::ChecksUnanswered, "one relay is enough");
}

#[test]
fn forbidden_addresses_are_named_only_if_nothing_else_is_wrong() {
    let forbidden =
        r#"{"allocations":1,"refusals":[{"reason":"forbidden_peer","ago_s":3,"count":2}]}"#;
    let what = "its relay may not send to the addresses of the other side";
    let case = reports(FAILED, FAILED).at_relay(forbidden, NOTHING);
    case.says_of(Verdict::TurnForbiddenPeer, Side::Yours, what);
    let case = reports(FAILED, FAILED).at_relay(forbidden, EXPIRED);
    case.says_of(Verdict::TurnExpired, Side::Theirs, "TURN credential expired 14 min ago");
    let answered = r#"{"state":"failed","for_s":20,"checks":{"sent":9,"answered":2}}"#;
    let found = reports(answered, FAILED).at_relay(forbidden, NOTHING).diagnose(|_| {});
    assert_eq!(found.verdict, Verdict::ChecksUnanswered, "there was a way");
}

#[test]
fn a_failed_handshake_is_no_question_of_ways() {
    let failed = r#"{"state":"failed","dtls":"failed"}"#;
    let what = "a way was found, but the DTLS handshake failed";
    let case = reports(failed, FAILED).at_relay("-", EXPIRED);
    case.says_of(Verdict::DtlsFailed, Side::Yours, what);
}

#[test]
fn what_is_left_is_that_nothing_got_through() {
    let verdict = Verdict::ChecksUnanswered;
    let text = "none of 40 checks sent to bob was answered, and none came";
    reports(FAILED, FAILED).says(verdict, None, text);
    let heard = r#"{"state":"failed","checks":{"sent":9,"heard":3}}"#;
    let text = "none of 9 checks sent to bob was answered, though 3 came from it";
    reports(heard, "-").says(verdict, None, text);
    let late = r#"{"state":"connecting","for_s":14}"#;
    reports(late, "-").says(verdict, None, "nothing that was sent to bob arrived");
    let answered = r#"{"state":"interrupted","for_s":60,"checks":{"sent":9,"answered":2}}"#;
    let text = "no connection with bob, though 2 of 9 checks were answered";
    reports(answered, "-").says(verdict, None, text);
}

#[test]
fn a_name_is_a_short_text_or_else_the_id() {
    let named = |text| {
        let found = reports("-", "-").diagnose(|facts| facts.metadata = metadata(text));
        found.text
    };
    let of = |name: &str| format!("neither side has reported on the link to {name} yet");
    assert_eq!(named(r#"{"name":" Zoë "}"#), of("Zoë"));
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(33));
    for other in ["{}", r#"{"name":7}"#, r#"{"name":""}"#, r#"{"name":"a\nb"}"#, long.leak()] {
        assert_eq!(named(other), of("p2"), "{other}");
    }
}

#[test]
fn reports_and_relay_come_back_as_they_are_known() {
    let found = reports(FAILED, "-").at_relay(NOTHING, EXPIRED).diagnose(|_| {});
    assert_eq!((found.id, &*found.peer), (Some(7), "p2"));
    assert_eq!((found.yours, found.theirs), (Some(link(FAILED)), None));
    let relay = AtRelay { yours: Some(seat(NOTHING)), theirs: Some(seat(EXPIRED)) };
    assert_eq!(found.relay, Some(relay));
    assert_eq!(reports(FAILED, "-").diagnose(|_| {}).relay, None);
}

#[test]
fn no_number_of_a_report_is_too_large() {
    let huge = r#"{"state":"failed","for_s":1e300,"local":{"host":4294967295,"relay":4294967295},
        "checks":{"sent":18446744073709551615},"path":{"kind":"direct","rtt_ms":1e300}}"#;
    let far = r#"{"state":"connected","for_s":18446744073709000000,
        "path":{"kind":"direct","rtt_ms":1e300}}"#;
    for (yours, theirs) in [(huge, far), (far, huge), (huge, huge)] {
        let case = reports(yours, theirs).at_relay(EXPIRED, EXPIRED);
        assert!(case.diagnose(|_| {}).text.len() < 100);
    }
    let text = "connected with bob directly";
    reports(far, "-").says(Verdict::ConnectedDirect, None, text);
}
