//! How a diagnosis is said: for people, in whole sentences.

use super::{Pair, PairFacts};
use crate::protocol::{Path, Side, Verdict};
use serde::Deserialize;
use std::borrow::Cow;
use std::time::Duration;

/// The longest name in a sentence, in characters.
const NAME_CHARS_MAX: usize = 32;

/// What the other is called: the `name` in its metadata if that is a short text, else its id.
pub(super) fn name(facts: &PairFacts) -> String {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    let text = facts.metadata.as_ref().map_or("", |metadata| metadata.value().get());
    let named = serde_json::from_str(text).ok().map(|Named { name }| name.trim().to_owned());
    let is_fine = |name: &String| {
        let chars = name.chars().count();
        (1..=NAME_CHARS_MAX).contains(&chars) && !name.chars().any(char::is_control)
    };
    named.filter(is_fine).unwrap_or_else(|| facts.peer.to_string())
}

/// A round trip that takes longer is none.
const RTT_MS_MAX: f64 = 600_000.0;

pub(super) const fn who(side: Side, name: &str) -> &str {
    match side {
        Side::Yours => "this side",
        Side::Theirs => name,
        Side::Both => "both sides",
    }
}

/// How long ago, in plain words.
pub(super) fn ago(time: Duration) -> String {
    match time.as_secs() {
        0..2 => "just now".to_owned(),
        _ => format!("{} ago", span(time)),
    }
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// For how long it has been trying, if that is known.
pub(super) fn since(pair: &Pair<'_>) -> String {
    pair.lifetime().map_or_else(String::new, |lifetime| format!(", for {} now", span(lifetime)))
}

pub(super) fn path(name: &str, verdict: Verdict, path: Option<&Path>) -> String {
    let how = if verdict == Verdict::ConnectedRelayed { "by a relay" } else { "directly" };
    let Some(path) = path.filter(|path| path.kind.is_some()) else {
        return format!("connected with {name}; which way isn't reported");
    };
    let protocol = short(&path.protocol).map(str::to_uppercase);
    let ends = short(&path.local).zip(short(&path.remote));
    let ends = ends.map(|(local, remote)| format!("{local} to {remote}"));
    let rtt =
        path.rtt_ms.filter(|rtt| (0.0..RTT_MS_MAX).contains(rtt)).map(|rtt| format!("{rtt:.0} ms"));
    let details: Vec<_> = [protocol, ends, rtt].into_iter().flatten().collect();
    match details.is_empty() {
        true => format!("connected with {name} {how}"),
        false => format!("connected with {name} {how} ({})", details.join(", ")),
    }
}

/// What a report calls something, if it is one of the words of the protocol.
fn short(word: &str) -> Option<&str> {
    let known = ["host", "srflx", "prflx", "relay", "udp", "tcp", "tls"];
    known.contains(&word).then_some(word)
}

pub(super) fn checks(pair: &Pair<'_>) -> String {
    let name = &pair.name;
    let checks = pair.yours.link.and_then(|link| link.checks);
    match checks.filter(|checks| checks.sent > 0) {
        Some(checks) if checks.answered > 0 => {
            let (answered, sent) = (checks.answered, checks.sent);
            format!("no connection with {name}, though {answered} of {sent} checks were answered")
        }
        Some(checks) if checks.heard > 0 => {
            let (sent, heard) = (checks.sent, checks.heard);
            format!(
                "none of {sent} checks sent to {name} was answered, though {heard} came from it"
            )
        }
        Some(checks) => {
            format!("none of {} checks sent to {name} was answered, and none came", checks.sent)
        }
        None => format!("nothing that was sent to {name} arrived"),
    }
}

/// What to do about it.
pub(super) const fn advice(verdict: Verdict, side: Option<Side>) -> &'static str {
    match (verdict, side) {
        (Verdict::ConnectedDirect | Verdict::ConnectedRelayed, _) => "",
        (Verdict::Connecting, _) => "ask again in a few seconds",
        (Verdict::PeerLeft, _) => "wait until it joins again, and connect to the new peer id",
        (Verdict::PeerAway, _) => {
            "wait: what is sent to it is kept until it is back or its seat is given up"
        }
        (Verdict::PeerSilent, Some(Side::Yours)) => {
            "look whether the application of this side makes its offer or answer, and at its log"
        }
        (Verdict::PeerSilent, _) => {
            "look whether its application is set to connect to this peer, and at its log"
        }
        (Verdict::NoCandidatesFromPeer, _) => {
            "look at its network, and whether its application sends the candidates that it finds"
        }
        (Verdict::NoLocalCandidates, _) => {
            "check the network of this machine, and whether its browser or a policy forbids WebRTC"
        }
        (Verdict::RelayOnlyWithoutRelay, _) => {
            "permit direct connections, or see to it that the relay is offered and reachable"
        }
        (Verdict::TurnExpired, _) => {
            "give the connection the newest ICE servers (setConfiguration, then an ICE restart); \
             check the clock of the relay if credentials should still be good"
        }
        (Verdict::TurnUnauthorized, _) => {
            "use the credentials of the last welcome or ice frame; check that signaling and relay \
             have the same secret"
        }
        (Verdict::TurnQuota, _) => {
            "close peer connections that aren't used, or raise the quotas of the relay"
        }
        (Verdict::TurnNoCapacity, _) => {
            "try again later; the relay needs more ports or a second one"
        }
        (Verdict::TurnForbiddenPeer, _) => {
            "a STUN server must be reachable for the other side, so that it has a public address; \
             or permit its network with --allow-peer"
        }
        (Verdict::TurnUnreachable, _) => {
            "check the firewall between it and the relay; offer TURN over TCP and over TLS on 443"
        }
        (Verdict::BothSymmetricNoRelay | Verdict::NoRelayOffered, _) => {
            "run the relay beside signaling, or name a TURN server with --ice-server"
        }
        (Verdict::ChecksUnanswered, _) => {
            "a firewall drops what they send: offer a relay, also over TCP and over TLS on 443"
        }
        (Verdict::DtlsFailed, _) => {
            "look whether both got each other's current description (its fingerprint); then \
             connect anew"
        }
        (Verdict::ClosedByPeer | Verdict::ClosedByYou, _) => "connect anew if that wasn't meant",
        (Verdict::SignalingLost, _) => "wait until the server is reached again",
        (Verdict::Unknown, _) => "",
    }
}
