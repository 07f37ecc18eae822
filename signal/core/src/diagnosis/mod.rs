//! How a pair is connected, or why it isn't: a pure function of what is known of both.
//!
//! Each rule of [`RULES`] looks for one reason; the first that finds it wins. What goes wrong at
//! the relay is in `turn`, how it is said in `wording`.

mod turn;
mod wording;

use crate::protocol::{
    AtRelay, Candidates, Diagnosis, DtlsState, Link, LinkState, Mapping, PathKind, SeatAtRelay,
    Side, Verdict,
};
use crate::{Metadata, PeerId, RoomId};
use std::time::Duration;

/// What a hub knows of a pair.
#[derive(Clone, Debug)]
pub struct PairFacts {
    /// The `id` of the question.
    pub id: Option<u64>,
    /// The room.
    pub room: RoomId,
    /// The other member, as it was asked for.
    pub peer: PeerId,
    /// What the other tells about itself, if it is there.
    pub metadata: Option<Metadata>,
    /// Of who asked.
    pub yours: SeatFacts,
    /// Of the other, if it is there.
    pub theirs: Option<SeatFacts>,
}

/// What a hub knows of one of a pair.
#[derive(Clone, Debug)]
pub struct SeatFacts {
    /// Its peer id.
    pub peer: PeerId,
    /// The number of its seat, as in its TURN username.
    pub seat: u64,
    /// For how long it has had no connection, if it has none.
    pub away: Option<Duration>,
    /// Whether it is told of a TURN server.
    pub has_turn: bool,
    /// How long ago it last spoke of its link to the other, and what it said.
    pub report: Option<(Duration, Link)>,
}

/// Works out how a pair is connected, or why it isn't. `relay` is what the relay knows of both, if
/// it could be asked.
#[must_use]
pub fn diagnose(facts: PairFacts, relay: Option<AtRelay>) -> Diagnosis {
    let at_relay = relay.clone().unwrap_or_default();
    let pair = Pair {
        name: wording::name(&facts),
        yours: End::of(Some(&facts.yours), at_relay.yours.as_ref()),
        theirs: End::of(facts.theirs.as_ref(), at_relay.theirs.as_ref()),
        is_there: facts.theirs.is_some(),
    };
    let found = RULES.iter().find_map(|rule| rule(&pair));
    let Finding { verdict, side, what } = found.unwrap_or_else(|| unanswered(&pair));
    let text = match side {
        Some(side) => format!("{}: {what}", wording::who(side, &pair.name)),
        None => what,
    };
    let advice = wording::advice(verdict, side).into();
    let link = |seat: SeatFacts| seat.report.map(|(_, link)| link);
    Diagnosis {
        id: facts.id,
        peer: facts.peer.to_string(),
        verdict,
        side,
        text,
        advice,
        yours: link(facts.yours),
        theirs: facts.theirs.and_then(link),
        relay,
    }
}

/// The rules in the order of their precedence: first what is certain, then what it is too early
/// for, then what is likely.
const RULES: [fn(&Pair<'_>) -> Option<Finding>; 15] = [
    connected,
    left,
    dtls_failed,
    closed,
    away,
    turn::refused,
    relay_only,
    too_early,
    silent,
    no_local_candidates,
    no_remote_candidates,
    both_symmetric,
    no_relay_offered,
    turn::forbidden_peer,
    still_trying,
];

/// For so long a link may take before it is asked why.
const PATIENCE: Duration = Duration::from_secs(5);

/// After so long nothing is under way any more, even if nobody has given it up.
const GIVEN_UP: Duration = Duration::from_secs(15);

/// What a rule has found.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    side: Option<Side>,
    /// What is said of the side, or the whole sentence.
    what: String,
}

impl Finding {
    fn at(side: Side, verdict: Verdict, what: impl Into<String>) -> Self {
        Self { verdict, side: Some(side), what: what.into() }
    }

    fn plain(verdict: Verdict, what: impl Into<String>) -> Self {
        Self { verdict, side: None, what: what.into() }
    }
}

/// All that is known.
#[derive(Debug)]
struct Pair<'a> {
    /// What the other is called.
    name: String,
    yours: End<'a>,
    theirs: End<'a>,
    /// Whether the other is in the room.
    is_there: bool,
}

/// What is known of one end.
#[derive(Clone, Copy, Debug, Default)]
struct End<'a> {
    link: Option<&'a Link>,
    /// How old that is.
    age: Duration,
    away: Option<Duration>,
    has_turn: bool,
    relay: Option<&'a SeatAtRelay>,
}

impl<'a> End<'a> {
    fn of(seat: Option<&'a SeatFacts>, relay: Option<&'a SeatAtRelay>) -> Self {
        let Some(seat) = seat else { return Self::default() };
        let (age, link) =
            seat.report.as_ref().map_or_else(Default::default, |(age, link)| (*age, Some(link)));
        Self { link, age, away: seat.away, has_turn: seat.has_turn, relay }
    }

    fn state(&self) -> Option<LinkState> {
        self.link?.state
    }

    fn is(&self, what: fn(&Link) -> Option<bool>) -> bool {
        self.link.and_then(what) == Some(true)
    }

    /// Whether it says that this is not so, and that it had been waited for.
    fn is_not(&self, what: fn(&Link) -> Option<bool>) -> bool {
        self.link.is_some_and(|link| what(link) == Some(false) && !is_early(link))
    }

    fn local(&self) -> Option<Candidates> {
        self.link?.local
    }

    fn remote(&self) -> Option<Candidates> {
        self.link?.remote
    }

    /// For how long the link has been trying or there, as this end says.
    fn lifetime(&self) -> Option<Duration> {
        let for_s = Duration::try_from_secs_f64(self.link?.for_s?).ok()?;
        Some(for_s.saturating_add(self.age))
    }

    /// Whether it may only use a relay, and has found none.
    fn lacks_its_only_way(&self) -> bool {
        let has_relay = self.local().is_some_and(|local| local.relay > 0);
        self.is(|link| link.relay_only) && !has_relay
    }

    fn has_relay(&self) -> bool {
        self.local().is_some_and(|local| local.relay > 0)
            || self.relay.is_some_and(|relay| relay.allocations > 0)
    }
}

impl Pair<'_> {
    fn ends(&self) -> [(Side, &End<'_>); 2] {
        [(Side::Yours, &self.yours), (Side::Theirs, &self.theirs)]
    }

    fn any_state(&self, state: LinkState) -> bool {
        self.ends().iter().any(|(_, end)| end.state() == Some(state))
    }

    /// For which of the two something holds.
    fn side_of(&self, what: impl Fn(&End<'_>) -> bool) -> Option<Side> {
        match (what(&self.yours), what(&self.theirs)) {
            (true, true) => Some(Side::Both),
            (true, false) => Some(Side::Yours),
            (false, true) => Some(Side::Theirs),
            (false, false) => None,
        }
    }

    fn lifetime(&self) -> Option<Duration> {
        self.yours.lifetime().or(self.theirs.lifetime())
    }

    /// Whether it has been trying for so long.
    fn is_older_than(&self, limit: Duration) -> bool {
        self.lifetime().is_some_and(|lifetime| lifetime >= limit)
    }

    /// Whether it was given up, or should be there by now.
    fn is_overdue(&self) -> bool {
        self.any_state(LinkState::Failed)
            || self.any_state(LinkState::Interrupted)
            || self.is_older_than(PATIENCE)
    }

    /// Whether nobody has said anything.
    fn is_unknown(&self) -> bool {
        self.yours.link.is_none() && self.theirs.link.is_none()
    }
}

/// Whether it was said when much was still to come: clients say little while nothing changes.
fn is_early(link: &Link) -> bool {
    let is_new = |for_s: f64| for_s < PATIENCE.as_secs_f64();
    link.state == Some(LinkState::Connecting) && link.for_s.is_some_and(is_new)
}

/// What who asked sees goes before what the other sees.
fn connected(pair: &Pair<'_>) -> Option<Finding> {
    let is_it = |end: &End<'_>| end.state() == Some(LinkState::Connected);
    let sees_it = is_it(&pair.yours) || (pair.yours.link.is_none() && is_it(&pair.theirs));
    if !sees_it {
        return None;
    }
    let paths = [&pair.yours, &pair.theirs].map(|end| end.link.and_then(|it| it.path.as_ref()));
    let mut paths = paths.into_iter().flatten();
    let path = paths.clone().find(|path| path.kind.is_some()).or_else(|| paths.next());
    let verdict = match path.and_then(|path| path.kind) {
        Some(PathKind::Relayed) => Verdict::ConnectedRelayed,
        Some(PathKind::Direct | PathKind::Unknown) | None => Verdict::ConnectedDirect,
    };
    Some(Finding::plain(verdict, wording::path(&pair.name, verdict, path)))
}

fn left(pair: &Pair<'_>) -> Option<Finding> {
    (!pair.is_there).then(|| {
        let what = "isn't in the room (any more)";
        Finding::at(Side::Theirs, Verdict::PeerLeft, what)
    })
}

/// Who has said so first has closed it; the other only noticed.
fn closed(pair: &Pair<'_>) -> Option<Finding> {
    let [yours, theirs] = [&pair.yours, &pair.theirs]
        .map(|end| (end.state() == Some(LinkState::Closed)).then_some(end.age));
    match (yours, theirs) {
        (None, None) => None,
        (Some(_), None) => {
            Some(Finding::at(Side::Yours, Verdict::ClosedByYou, "closed the connection"))
        }
        (Some(yours), Some(theirs)) if yours > theirs => {
            Some(Finding::at(Side::Yours, Verdict::ClosedByYou, "closed the connection"))
        }
        (_, Some(ago)) => {
            let what = format!("closed the connection {}", wording::ago(ago));
            Some(Finding::at(Side::Theirs, Verdict::ClosedByPeer, what))
        }
    }
}

fn away(pair: &Pair<'_>) -> Option<Finding> {
    let what = format!("lost its connection to the server {}", wording::ago(pair.theirs.away?));
    Some(Finding::at(Side::Theirs, Verdict::PeerAway, what))
}

fn dtls_failed(pair: &Pair<'_>) -> Option<Finding> {
    let failed = |end: &End<'_>| end.link.and_then(|link| link.dtls) == Some(DtlsState::Failed);
    let side = pair.side_of(failed)?;
    let what = "a way was found, but the DTLS handshake failed";
    Some(Finding::at(side, Verdict::DtlsFailed, what))
}

/// Certain at once where no relay is offered; else when no more candidates come.
fn relay_only(pair: &Pair<'_>) -> Option<Finding> {
    let is_certain =
        |end: &End<'_>| !end.has_turn || end.is(|link| link.gathered) || pair.is_overdue();
    let side = pair.side_of(|end| end.lacks_its_only_way() && is_certain(end))?;
    let what = "may only use a relay, but has none";
    Some(Finding::at(side, Verdict::RelayOnlyWithoutRelay, what))
}

fn too_early(pair: &Pair<'_>) -> Option<Finding> {
    let name = &pair.name;
    if pair.is_unknown() {
        let what = format!("neither side has reported on the link to {name} yet");
        return Some(Finding::plain(Verdict::Connecting, what));
    }
    (!pair.is_overdue()).then(|| {
        let what = format!("the connection to {name} is only being made{}", wording::since(pair));
        Finding::plain(Verdict::Connecting, what)
    })
}

/// Which side sent no description, as far as anybody knows.
fn silent(pair: &Pair<'_>) -> Option<Finding> {
    let Pair { yours, theirs, .. } = pair;
    let what = "never sent a description";
    for (side, from, to) in [(Side::Theirs, theirs, yours), (Side::Yours, yours, theirs)] {
        let was_sent = from.is(|link| link.offered) || to.is(|link| link.answered);
        let is_missed = from.is_not(|link| link.offered) || to.is_not(|link| link.answered);
        if is_missed && !was_sent {
            return Some(Finding::at(side, Verdict::PeerSilent, what));
        }
    }
    let side = pair.side_of(|end| end.is_not(|link| link.answered))?;
    let what = "a description was sent to it, but it never applied it";
    Some(Finding::at(side, Verdict::PeerSilent, what))
}

fn no_local_candidates(pair: &Pair<'_>) -> Option<Finding> {
    let has_none = pair.yours.local().is_some_and(|local| local.total() == 0);
    has_none.then(|| {
        let what = "found no candidates, not even an address of its own";
        Finding::at(Side::Yours, Verdict::NoLocalCandidates, what)
    })
}

fn no_remote_candidates(pair: &Pair<'_>) -> Option<Finding> {
    let none_came = pair.yours.remote().is_some_and(|remote| remote.total() == 0);
    let theirs = pair.theirs.local().map(Candidates::total);
    let what = match theirs {
        Some(0) => "found no candidates, so it sent none".to_owned(),
        Some(found) if none_came => format!("found {found} candidates, but none of them came"),
        None if none_came => "never sent candidates".to_owned(),
        Some(_) | None => return None,
    };
    Some(Finding::at(Side::Theirs, Verdict::NoCandidatesFromPeer, what))
}

fn both_symmetric(pair: &Pair<'_>) -> Option<Finding> {
    let varies = |end: &End<'_>| end.link.and_then(|it| it.mapping) == Some(Mapping::Varies);
    let ends = pair.ends().map(|(_, end)| end);
    if !ends.iter().all(|end| varies(end)) || ends.iter().any(|end| end.has_relay()) {
        return None;
    }
    let what = match ends.iter().any(|end| end.has_turn) {
        true => "both behind symmetric NAT and neither got a relay",
        false => "both behind symmetric NAT and no relay offered",
    };
    Some(Finding::plain(Verdict::BothSymmetricNoRelay, what))
}

fn no_relay_offered(pair: &Pair<'_>) -> Option<Finding> {
    let ends = pair.ends().map(|(_, end)| end);
    if ends.iter().any(|end| end.has_turn || end.has_relay()) {
        return None;
    }
    let what = format!("no direct way to {} was found, and no relay is offered", pair.name);
    Some(Finding::plain(Verdict::NoRelayOffered, what))
}

fn still_trying(pair: &Pair<'_>) -> Option<Finding> {
    let is_over = pair.any_state(LinkState::Failed) || pair.is_older_than(GIVEN_UP);
    (!is_over).then(|| {
        let what = format!("no way to {} was found yet{}", pair.name, wording::since(pair));
        Finding::plain(Verdict::Connecting, what)
    })
}

/// What is left: all was there, and nothing got through.
fn unanswered(pair: &Pair<'_>) -> Finding {
    Finding::plain(Verdict::ChecksUnanswered, wording::checks(pair))
}
