//! The grid: which pairs of peers are to meet, by which path they should, and the tables of what
//! came of it. Plain data, shared with the real lab; no IO.

use crate::nat::{Egress, Family, Gate, Kind, Nat};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Two peers, by what is between each of them and the internet. The first one is in the room
/// before the second comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pair {
    /// Each behind its own routers.
    Kinds(Kind, Kind),
    /// Both in one home, of IPv4, behind routers of this kind.
    OneHome(Kind),
    /// Each in a home of its own, behind the NAT of one carrier. All three are port-restricted.
    OneCarrier {
        /// Whether that of the carrier hairpins.
        hairpin: bool,
    },
}

/// The routers between two peers and the internet, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    /// Those that both are behind.
    pub shared: Vec<Gate>,
    /// Those that come next for each of them.
    pub own: [Vec<Gate>; 2],
}

/// How two reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// Without a relay.
    Direct,
    /// By a relay.
    Relayed,
    /// Not at all.
    Apart,
}

/// By which of its addresses a peer is reached: the types of candidates of RFC 8445 §5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Candidate {
    /// Its own one.
    Host,
    /// One outside of its NAT. Whether it is called server or peer reflexive is a matter of who
    /// hears of it first.
    Reflexive,
    /// One of a relay.
    Relay,
}

/// How two were connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// By which address the other one reaches the first, and the second.
    pub ends: [Candidate; 2],
    /// How long it took.
    pub took: Duration,
}

/// What came of each pair that was tried: `None` if they weren't connected.
pub type Found = BTreeMap<Pair, Option<Meeting>>;

impl Pair {
    /// The kinds that meet each other and themselves.
    pub const SQUARE: [Kind; 7] = [
        Kind::Open,
        Kind::FullCone,
        Kind::AddressRestricted,
        Kind::PortRestricted,
        Kind::AddressSymmetric,
        Kind::Symmetric,
        Kind::Double,
    ];

    /// The pairs beside those of the square.
    pub const OTHERS: [Self; 10] = [
        Self::OneHome(Kind::Symmetric),
        Self::OneCarrier { hairpin: true },
        Self::OneCarrier { hairpin: false },
        Self::Kinds(Kind::ShortLived, Kind::PortRestricted),
        Self::Kinds(Kind::ShortLived, Kind::Symmetric),
        Self::Kinds(Kind::Ipv6Only, Kind::Ipv6Only),
        Self::Kinds(Kind::Ipv6Only, Kind::PortRestricted),
        Self::Kinds(Kind::Ipv6Only, Kind::Symmetric),
        Self::Kinds(Kind::UdpBlocked, Kind::Open),
        Self::Kinds(Kind::Only443, Kind::Open),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let row = |first| Self::SQUARE.map(|second| Self::Kinds(first, second));
        Self::SQUARE.into_iter().flat_map(row).chain(Self::OTHERS)
    }

    /// The routers of both.
    #[must_use]
    pub fn ways(self) -> Ways {
        let home = Gate::from(Nat::PORT_RESTRICTED);
        match self {
            Self::Kinds(first, second) => {
                Ways { shared: Vec::new(), own: [first.gates(), second.gates()] }
            }
            Self::OneHome(kind) => Ways { shared: kind.gates(), own: [Vec::new(), Vec::new()] },
            Self::OneCarrier { hairpin } => {
                let carrier = Nat { hairpin, ..Nat::PORT_RESTRICTED };
                Ways { shared: vec![carrier.into()], own: [vec![home], vec![home]] }
            }
        }
    }

    /// The IP version of each.
    #[must_use]
    pub fn families(self) -> [Family; 2] {
        match self {
            Self::Kinds(first, second) => [first.family(), second.family()],
            Self::OneHome(_) | Self::OneCarrier { .. } => [Family::V4; 2],
        }
    }

    /// The path that theory has for them, if they reach the relay by UDP only, as Rust peers do.
    #[must_use]
    pub fn path(self) -> Path {
        let is_direct = match self {
            Self::Kinds(first, second) => first.is_direct_with(second),
            Self::OneHome(_) => true,
            // Each knows the other by its address outside of the carrier.
            Self::OneCarrier { hairpin } => hairpin,
        };
        let Ways { shared, own } = self.ways();
        let mut gates = shared.iter().chain(own.iter().flatten());
        let is_blocked = gates.any(|gate| gate.egress != Egress::All);
        match (is_direct, is_blocked) {
            (true, _) => Path::Direct,
            (false, false) => Path::Relayed,
            (false, true) => Path::Apart,
        }
    }
}

impl Meeting {
    /// Whether a relay is between them.
    #[must_use]
    pub fn path(&self) -> Path {
        if self.ends.contains(&Candidate::Relay) { Path::Relayed } else { Path::Direct }
    }
}

/// Writes what the kinds are: a table.
#[must_use]
pub fn kinds() -> String {
    let mut text = "| kind | what it is | mapping | filtering |\n|---|---|---|---|\n".to_owned();
    for kind in Kind::ALL {
        let words = kind.behavior().map(|(mapping, filtering)| (mapping.name(), filtering.name()));
        let (mapping, filtering) = words.unwrap_or(("no UDP gets out", "no UDP gets out"));
        let _ = writeln!(text, "| {kind} | {} | {mapping} | {filtering} |", kind.about());
    }
    text
}

/// Writes what there is to say of each pair: a table of the square, and one of the others.
pub fn tables(cell: impl Fn(Pair) -> String) -> String {
    let mut text = String::new();
    let columns: Vec<_> = Pair::SQUARE.iter().map(|kind| kind.name()).collect();
    let _ = writeln!(text, "| first \\ then | {} |", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(columns.len()));
    for first in Pair::SQUARE {
        let cells = Pair::SQUARE.map(|second| cell(Pair::Kinds(first, second)));
        let _ = writeln!(text, "| **{first}** | {} |", cells.join(" | "));
    }
    text.push_str("\n| pair | path |\n|---|---|\n");
    for pair in Pair::OTHERS {
        let _ = writeln!(text, "| {pair} | {} |", cell(pair));
    }
    text
}

/// What came of a pair, in words.
#[must_use]
pub fn outcome(found: &Found, pair: Pair) -> String {
    match found.get(&pair) {
        Some(Some(meeting)) => meeting.to_string(),
        Some(None) => Path::Apart.to_string(),
        None => "not tried".to_owned(),
    }
}

/// The pairs of which not the same came, times aside, each with the reason that there is for it.
///
/// # Errors
/// The pairs that differ without a reason, and those that have one and don't differ.
pub fn differences<'a>(
    one: &Found,
    other: &Found,
    reasons: &[(Pair, &'a str)],
) -> Result<Vec<(Pair, &'a str)>, Vec<Pair>> {
    let candidates = |found: &Found, pair: &Pair| {
        found.get(pair).map(|met| met.map(|Meeting { ends, .. }| ends))
    };
    let differs = |pair: &Pair| candidates(one, pair) != candidates(other, pair);
    let has_reason = |pair: &Pair| reasons.iter().any(|(it, _)| it == pair);
    let wrong: Vec<_> = Pair::all().filter(|pair| differs(pair) != has_reason(pair)).collect();
    if wrong.is_empty() { Ok(reasons.to_vec()) } else { Err(wrong) }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kinds(first, second) => write!(f, "{first}, {second}"),
            Self::OneHome(kind) => write!(f, "two in one home, {kind}"),
            Self::OneCarrier { hairpin: true } => {
                f.write_str("two homes behind a carrier's NAT that hairpins")
            }
            Self::OneCarrier { hairpin: false } => {
                f.write_str("two homes behind a carrier's NAT that doesn't")
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Relayed => "relayed",
            Self::Apart => "not connected",
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Reflexive => "reflexive",
            Self::Relay => "relay",
        })
    }
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([first, second], took) = (self.ends, self.took.as_secs_f64());
        write!(f, "{} {took:.1} s, {first} to {second}", self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Pair = Pair::OneHome(Kind::Symmetric);

    fn found(second: Candidate) -> Found {
        let meeting = Meeting { ends: [Candidate::Host, second], took: Duration::ZERO };
        Found::from([(PAIR, Some(meeting))])
    }

    #[test]
    fn a_difference_needs_a_reason_and_a_reason_a_difference() {
        let [one, other] = [Candidate::Host, Candidate::Relay].map(found);
        let reason = (PAIR, "a reason");
        assert_eq!(differences(&one, &one, &[]), Ok(vec![]));
        assert_eq!(differences(&one, &other, &[]), Err(vec![PAIR]));
        assert_eq!(differences(&one, &other, &[reason]), Ok(vec![reason]));
        assert_eq!(differences(&one, &one, &[reason]), Err(vec![PAIR]));
        assert_eq!(differences(&one, &Found::new(), &[]), Err(vec![PAIR]));
    }

    #[test]
    fn who_gets_no_udp_out_meets_only_those_at_home() {
        assert_eq!(Pair::Kinds(Kind::UdpBlocked, Kind::Open).path(), Path::Apart);
        assert_eq!(Pair::OneHome(Kind::UdpBlocked).path(), Path::Direct);
        assert_eq!(Pair::OneCarrier { hairpin: false }.path(), Path::Relayed);
    }

    #[test]
    fn each_pair_has_one_place_in_the_tables() {
        let text = tables(|pair| format!("<{pair}>"));
        for pair in Pair::all() {
            assert_eq!(text.matches(&format!("<{pair}>")).count(), 1, "{pair}");
        }
    }
}
